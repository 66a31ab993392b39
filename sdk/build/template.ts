// What `filter new` writes: a template's filter and test (`sdk/templates`) under the author's name, and how to go on.
import { join } from "node:path";
import { COMMAND } from "./terminal.ts";

/** Templates, the one that is used where none is named first, with what each shows. */
export const TEMPLATES = {
  greet: "reads a header, answers some requests itself, changes a reply",
  auth: "checks a bearer token in constant time, tells the service and later filters who it is",
  "rate-limit": "counts requests by client, together in all workers of a proxy",
  transform: "masks fields of JSON replies, read whole",
  callout: "asks another service with `await fetch`, with a deadline and a policy for no answer",
  adapter: "decides, charges and keeps a ledger for rules: check, quota and report",
  tcp: "stands in a connection of Redis' protocol, denies commands and counts them",
} as const;
export type TemplateName = keyof typeof TEMPLATES;

const FOLDER = join(import.meta.dir, "../templates");

/** The files of a new filter, by name. */
export async function renderTemplate(template: TemplateName, name: string): Promise<Readonly<Record<string, string>>> {
  const [source, test] = await Promise.all([
    Bun.file(join(FOLDER, `${template}.ts`)).text(),
    Bun.file(join(FOLDER, `${template}.test.ts`)).text(),
  ]);
  return {
    "filter.ts": source.replace(`name: "${template}"`, `name: "${name}"`),
    "filter.test.ts": test.replaceAll(`"./${template}.ts"`, '"./filter.ts"'),
    "README.md": renderReadme(template, name),
  };
}

const USE_OF_FILTER =
  "Then name its digest in a `Filter` resource and apply it: proxies load the new version without a lost request.\n";
/** Rules ask it, so that there is nothing to send requests through. */
const USE_OF_ADAPTER = (name: string): string => `Then name its digest in an \`Adapter\`, and the adapter in a \`Rule\`:

\`\`\`yaml
apiVersion: vespid.dev/v1
kind: Adapter
metadata: { name: ${name} }
spec:
  backend:
    kind: filter
    bundle: sha256:…
    upstreams: { policy: { host: policy }, ledger: { host: ledger } }
---
apiVersion: vespid.dev/v1
kind: Rule
metadata: { name: ${name} }
spec:
  match: request.path.startsWith("/api")
  actions:
    - adapter: ${name}
      phase: check # the adapter has three, so each action says which
      attributes: { user: 'request.headers["x-user"]', path: request.path }
\`\`\`
`;

function renderReadme(template: TemplateName, name: string): string {
  const isAdapter = template === "adapter";
  return `# ${name}

Begun from the template \`${template}\`: ${TEMPLATES[template]}.

\`\`\`sh
${COMMAND} test ${name}       # its tests, on the source and in the sandbox
${isAdapter ? "" : `${COMMAND} dev ${name}        # in a local proxy, again each time that it is saved\n`}${COMMAND} explain ${name}    # what it sees, changes, calls and measures
${COMMAND} build ${name}      # the artifact
${COMMAND} push ${name}       # build it and give it to the control service; VESPID_TOKEN is its token
\`\`\`

${isAdapter ? USE_OF_ADAPTER(name) : USE_OF_FILTER}`;
}
