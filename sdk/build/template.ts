// What `filter new` writes.

/** A filter that builds and does something that curl shows. */
export function renderFilterSource(name: string): string {
  return `import { defineFilter, reply, z } from "vespid";

export default defineFilter({
  name: "${name}",
  stage: "transform",
  // Only what is listed here crosses into the filter, and only this can be changed.
  reads: [":path", "x-user"],
  writes: ["x-greeting"],
  config: z.strictObject({
    /** What to say. */
    greeting: z.string().default("hello"),
    /** Users who are turned away. */
    blocked: z.array(z.string()).default([]),
  }),

  request(request, { config, log }) {
    const user = request.headers.get("x-user") ?? "stranger";
    if (config.blocked.includes(user)) {
      log.info(\`turned \${user} away from \${request.path}\`);
      return reply({ status: 403, body: "not you\\n" });
    }
  },

  response(response, { config }) {
    const user = response.request.headers.get("x-user") ?? "stranger";
    response.headers.set("x-greeting", \`\${config.greeting} \${user}\`);
  },
});
`;
}

/** A test of it, run with \`bun test\`. */
export function renderTest(): string {
  return `import { expect, test } from "bun:test";
import { runFilter } from "vespid/testing";
import filter from "./filter.ts";

test("greets the user on the reply", async () => {
  const { reply } = await runFilter(filter, { headers: { "x-user": "ada" } });
  expect(reply.headers["x-greeting"]).toBe("hello ada");
});

test("turns blocked users away", async () => {
  const { reply } = await runFilter(filter, { headers: { "x-user": "eve" }, config: { blocked: ["eve"] } });
  expect(reply.status).toBe(403);
});
`;
}

/** How to go on. */
export function renderReadme(name: string): string {
  return `# ${name}

\`\`\`sh
bun test ${name}                               # run its tests
bun run filter build ${name}                   # build the artifact
bun run filter push ${name} --token TOKEN      # build it and give it to the control service
\`\`\`

Then name its digest in a \`Filter\` resource and apply it: proxies load the new version without a lost request.
`;
}
