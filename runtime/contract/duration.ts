// Spans of time: written "250ms" for people, `…Ms` numbers in code from the parser on.
import { z } from "zod";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/u;
/** The longest span accepted, 1000 days. */
const SPAN_MAX_MS = 86_400_000_000;
/** The longest that a timer waits, 24 days; one of more fires at once. */
export const TIMER_MAX_MS: number = 2 ** 31 - 1;

/** Milliseconds of `"1.5s"`, `"250ms"`, `"1h30m"`; `undefined` when the text is not a duration. */
export function parseDuration(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount = "0", unit = "ms"] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/gu)) {
    totalMs += Number(amount) * (UNIT_MS[unit] ?? 1);
  }
  return totalMs <= SPAN_MAX_MS ? totalMs : undefined;
}

/** A field that takes `"250ms"` (or a number of milliseconds, as snapshots hold it) and yields milliseconds. */
export function durationMs(defaultMs: number) {
  return z
    .union([z.string(), z.number().min(0).max(SPAN_MAX_MS)])
    .default(defaultMs)
    .transform((value, context) => {
      const ms = typeof value === "number" ? value : parseDuration(value);
      if (ms !== undefined) return ms;
      context.addIssue({
        code: "custom",
        message: `${JSON.stringify(value)} is not a duration such as "250ms" or "1h30m"`,
      });
      return z.NEVER;
    });
}
