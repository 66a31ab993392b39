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

function renderReadme(template: TemplateName, name: string): string {
  return `# ${name}

Begun from the template \`${template}\`: ${TEMPLATES[template]}.

\`\`\`sh
${COMMAND} test ${name}       # its tests, on the source and in the sandbox
${COMMAND} dev ${name}        # in a local proxy, again each time that it is saved
${COMMAND} explain ${name}    # what it sees, changes, calls and measures
${COMMAND} build ${name}      # the artifact
${COMMAND} push ${name}       # build it and give it to the control service; VESPID_TOKEN is its token
\`\`\`

Then name its digest in a \`Filter\` resource and apply it: proxies load the new version without a lost request.
`;
}
