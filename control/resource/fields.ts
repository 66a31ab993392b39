// Fields that several of Istio's resources share, read exactly as Istio reads them.
import { z } from "zod";
import { parseDuration } from "../../runtime/contract/duration.ts";
import { StringMatch as ProxyStringMatch } from "../../runtime/contract/route.ts";

const NOT_YET = z.never({ error: "is a field of Istio that is not supported yet" }).optional();

/** Fields that Istio has here and Vespid cannot honor yet: each is a problem by name, never silently ignored. */
export function notYet<const Name extends string>(...names: readonly Name[]): Record<Name, typeof NOT_YET> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `fromEntries` forgets the names of the keys
  return Object.fromEntries(names.map((name) => [name, NOT_YET])) as Record<Name, typeof NOT_YET>;
}

/** `"10s"`, `"1h30m"`, as Istio writes durations; milliseconds when read. */
export const Duration = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: "custom", message: `${JSON.stringify(text)} is not a duration such as "5s" or "250ms"` });
  return z.NEVER;
});

/** What RE2, and so Istio, does not have; JavaScript would take it and mean something that Istio refuses. */
const BEYOND_RE2 = /\(\?<?[=!]|\\[1-9]/u;

/** Istio's `StringMatch`: one of `exact`, `prefix` and `regex` (RE2, the whole text). Empty means that the text must be there. */
export const StringMatch = z
  .strictObject({ exact: z.string().optional(), prefix: z.string().min(1).optional(), regex: z.string().optional() })
  .superRefine((match, context) => {
    const kinds = Object.entries(match).filter(([, value]) => value !== undefined);
    if (kinds.length > 1) context.addIssue({ code: "custom", message: "must have only one of exact, prefix, regex" });
    if (match.regex === undefined) return;
    if (BEYOND_RE2.test(match.regex)) {
      const message = `${JSON.stringify(match.regex)} uses lookaround or a back-reference, which RE2 does not have`;
      context.addIssue({ code: "custom", path: ["regex"], message });
    }
    const checked = ProxyStringMatch.safeParse({ kind: "regex", value: match.regex });
    for (const { message } of checked.error?.issues ?? []) {
      context.addIssue({ code: "custom", path: ["regex"], message });
    }
  });
export type StringMatch = z.infer<typeof StringMatch>;

/** A host name, a short name of the own namespace, or a suffix wildcard (`*.example.com`). */
export const Host = z
  .string()
  .max(253)
  .regex(/^(?:\*|(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)$/u, {
    error: (issue) => `${JSON.stringify(issue.input)} is not a host such as "reviews" or "*.example.com"`,
  })
  .toLowerCase();

/** Namespaces that see a resource: `"."` its own, `"*"` all, or a name. Default all. */
export const ExportTo = z.array(z.string().regex(/^(?:\.|\*|~|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)$/u)).default([]);

export const Port = z.int().min(1).max(65_535);
export const Labels = z.record(z.string(), z.string());

/** An address or a network. */
export const Cidr = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], {
  error: (issue) => `${JSON.stringify(issue.input)} is not an address or a network such as "10.1.0.0/16"`,
});
