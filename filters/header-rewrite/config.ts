// Which headers are changed, and how: Istio's header operations, with values that may hold attributes of the request.
import { z } from "../../sdk/index.ts";
import { FRAMING_FIELDS } from "../../sdk/wit/world.ts";
import { compileTemplate } from "./template.ts";

const name = z
  .string()
  .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u, "is not a header name")
  .toLowerCase()
  .refine((text) => !FRAMING_FIELDS.has(text), "is set by the proxy and cannot be edited");
const value = z.string().transform((text, context) => {
  const template = compileTemplate(text);
  if (typeof template !== "string") return template;
  context.addIssue({ code: "custom", message: template });
  return z.NEVER;
});

const Operations = z
  .strictObject({
    /** Replaces every field of that name, or adds one. */
    set: z.record(name, value).default({}),
    /** Adds a field after those of that name. */
    add: z.record(name, value).default({}),
    /** Removes every field of that name. */
    remove: z.array(name).default([]),
  })
  .prefault({});
export type Operations = z.output<typeof Operations>;

/** Applied in the order remove, set, add. Values may hold `{source.ip}` and the other attributes in the README. */
export const Config = z.strictObject({ request: Operations, response: Operations });
