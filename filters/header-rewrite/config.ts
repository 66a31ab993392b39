// Which headers are changed, and how: Istio's header operations, with values that may hold attributes of the request.
import { z } from "../../sdk/index.ts";
import { FRAMING_FIELDS } from "../../sdk/wit/world.ts";
import { compileTemplate, type Template } from "./template.ts";

const name = z.string().transform((text, context) => {
  const problem = findNameProblem(text);
  if (problem === undefined) return text.toLowerCase();
  context.addIssue({ code: "custom", message: problem });
  return z.NEVER;
});
const value = z.string().transform((text, context) => {
  const template = compileTemplate(text);
  if (typeof template !== "string") return template;
  context.addIssue({ code: "custom", message: template });
  return z.NEVER;
});

/** Names are checked here and not as the record's keys: a key's problem would not say what is wrong with it. */
const fields = z.record(z.string(), value).transform((record, context) => {
  const named: Record<string, Template> = {};
  for (const [text, template] of Object.entries(record)) {
    const problem = findNameProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", path: [text], message: problem });
    named[text.toLowerCase()] = template;
  }
  return named;
});

const Operations = z
  .strictObject({
    /** Replaces every field of that name, or adds one. */
    set: fields.default({}),
    /** Adds a field after those of that name. */
    add: fields.default({}),
    /** Removes every field of that name. */
    remove: z.array(name).default([]),
  })
  .prefault({});
export type Operations = z.output<typeof Operations>;

/** Applied in the order remove, set, add. Values may hold `{source.ip}` and the other attributes in the README. */
export const Config = z.strictObject({ request: Operations, response: Operations });

function findNameProblem(text: string): string | undefined {
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u.test(text)) return "is not a header name";
  return FRAMING_FIELDS.has(text.toLowerCase()) ? "is set by the proxy and cannot be edited" : undefined;
}
