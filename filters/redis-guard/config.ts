// The configuration of redis-guard.
import { z } from "../../sdk/index.ts";

const Rule = z.string().regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}(?:\|[A-Za-z][A-Za-z0-9_-]{0,63})?$/u, {
  error: (issue) => `${JSON.stringify(issue.input)} is neither a command nor one's part such as "CONFIG|SET"`,
});

export const config = z.strictObject({
  /** Commands that do not reach Redis; `CONFIG|SET` is a part of one, as Redis' ACLs write it. Default: none. */
  deny: z.array(Rule).max(1000).default([]),
  /** If given, no other command does. `deny` goes first. */
  allow: z.array(Rule).min(1).max(1000).optional(),
  /** Keys that begin so, up to the next `:`, are counted by this name; all others as `other`. */
  keyPrefixes: z
    .array(z.string().regex(/^[\w.-]{1,64}$/u))
    .max(100)
    .default([]),
});
export type Config = z.output<typeof config>;
