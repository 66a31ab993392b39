// What is secret, where, and what stands in its place.
import { linearRegExp, z } from "../../sdk/index.ts";
import { FRAMING_FIELDS } from "../../sdk/wit/world.ts";
import type { Mask } from "./masks.ts";
import { PRESET_NAMES } from "./presets.ts";
import { compileRules, parsePointer, type Rule as CompiledRule } from "./rules.ts";
import { ownPattern, presetPattern, searchText, WINDOW, type Pattern } from "./search.ts";

const fieldName = z
  .string()
  .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u, "is not a header name")
  .transform((name) => name.toLowerCase())
  .refine((name) => !FRAMING_FIELDS.has(name), "is set by the proxy and cannot be edited");

const pointer = z.string().transform((text, context) => {
  const steps = parsePointer(text);
  if (steps !== undefined) return steps;
  context.addIssue({ code: "custom", message: "is not a JSON pointer such as /user/email or /items/*/card" });
  return z.NEVER;
});

/** In headers, JSON and text alike. */
const printable = z
  .string()
  .regex(/^(?:[!-~](?:[ -~]{0,126}[!-~])?)?$/u, "must be at most 128 printable ASCII characters");

const mask = z
  .union([
    z.literal("remove"),
    z.strictObject({ text: printable }),
    z.strictObject({ keepLast: z.int().min(1).max(4) }),
    z.strictObject({ hashKey: z.string().min(16).max(1024) }),
  ])
  .transform((given): Mask => {
    if (given === "remove") return { kind: "remove" };
    if ("text" in given) return { kind: "text", text: given.text };
    if ("keepLast" in given) return { kind: "keep_last", count: given.keepLast };
    return { kind: "hash", key: given.hashKey };
  });

const pattern = z.union([
  z.enum(PRESET_NAMES),
  z
    .strictObject({
      regex: z.string().min(1),
      flags: z
        .string()
        .regex(/^[ims]{0,3}$/u, "must be of i, m and s")
        .default(""),
    })
    .superRefine(({ regex, flags }, context) => {
      // Texts are searched together, as lines of one: what is not told by lines would miss their ends.
      if (/(?<!\\)(?:\\\\)*\\[Az]|\(\?[a-zA-Z]*-/u.test(regex))
        context.addIssue({
          code: "custom",
          path: ["regex"],
          message: "must have ^ and $ for \\A and \\z, and no flags that are off",
        });
      try {
        // A whole window must not be too much for it.
        linearRegExp(regex, flags).test(" ".repeat(WINDOW + 1));
      } catch (error) {
        context.addIssue({ code: "custom", path: ["regex"], message: `cannot be used: ${String(error)}` });
      }
    }),
]);

const Rule = z
  .strictObject({
    /** Which messages. Default `[response]`. */
    in: z
      .array(z.enum(["request", "response"]))
      .min(1)
      .default(["response"]),
    /** Fields of heads and trailers, whose whole value is secret. Default: none. */
    headers: z.array(fieldName).default([]),
    /** Members of JSON objects and fields of forms, anywhere, in any case. Default: none. */
    names: z.array(z.string().min(1)).default([]),
    /** Places in JSON (RFC 6901); `*` is every member or element. Default: none. */
    pointers: z.array(pointer).default([]),
    /** In strings, numbers and names of JSON, in forms and in text: a preset, or `regex` with `flags`. Default: none. */
    patterns: z.array(pattern).default([]),
    /** What stands in the secret's place: `text`, `remove`, `keepLast` (1 to 4 characters), `hashKey`. Default `{ text: "[redacted]" }`. */
    mask: mask.prefault({ text: "[redacted]" }),
  })
  .refine(
    ({ headers, names, pointers, patterns }) => headers.length + names.length + pointers.length + patterns.length > 0,
    "must have headers, names, pointers or patterns",
  );

export const Config = z.strictObject({
  /** The first that names a value counts. */
  rules: z
    .array(Rule)
    .min(1)
    .max(64)
    .transform((rules, context) => {
      const compiled = rules.map((rule) => ({
        ...rule,
        patterns: rule.patterns.map((one) => patternOf(one, rule.mask)),
      }));
      const all = compiled.flatMap(({ patterns }) => patterns);
      for (const [index, rule] of rules.entries()) {
        if (rule.mask.kind !== "text" || searchText(all, rule.mask.text).length === 0) continue;
        const message = `${JSON.stringify(rule.mask.text)} is found by a pattern of these rules, and would be masked again`;
        context.addIssue({ code: "custom", path: [index, "mask", "text"], message });
      }
      const of = (where: "request" | "response"): readonly CompiledRule[] =>
        compiled.filter((rule) => rule.in.includes(where));
      return { request: compileRules(of("request")), response: compileRules(of("response")) };
    }),
  /** Longer bodies of JSON and forms are not read. Default `524288`; the use's `limits.bodyMaxBytes` must have room for it and its masks. */
  maxBytes: z
    .int()
    .min(1024)
    .max(64 * 1024 * 1024)
    .default(512 * 1024),
  /** Bodies that cannot be read, as they are coded, too long, a part, or not the JSON that they say: `refuse`d, or let `pass`. Default `refuse`. */
  unreadable: z.enum(["refuse", "pass"]).default("refuse"),
});
export type Config = z.output<typeof Config>;

function patternOf(given: z.output<typeof pattern>, own: Mask): Pattern {
  if (typeof given === "string") return presetPattern(given, own);
  return ownPattern(given.regex, given.flags, own);
}
