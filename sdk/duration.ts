// Spans of time in a filter's configuration: written "250ms" for people, milliseconds for handlers.
import { z } from "zod";

const DURATION = /^(?:\d{1,9}(?:\.\d{1,3})?(?:ms|s|m|h))+$/u;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** What a span may be, in milliseconds. Default: 0 to 24 hours. */
export interface DurationRange {
  readonly minMs?: number;
  readonly maxMs?: number;
}

/** A field that takes `"250ms"`, `"1.5s"` or `"1h30m"` and yields milliseconds. */
export function duration(range: DurationRange = {}): z.ZodPipe<z.ZodString, z.ZodTransform<number, string>> {
  const { minMs = 0, maxMs = 86_400_000 } = range;
  return z.string().transform((text, context) => {
    const ms = DURATION.test(text) ? millisecondsOf(text) : undefined;
    if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
    const message =
      ms === undefined
        ? `${JSON.stringify(text)} is not a duration such as "250ms" or "1h30m"`
        : `${text} is ${ms} ms, must be ${minMs} to ${maxMs}`;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });
}

function millisecondsOf(text: string): number {
  let totalMs = 0;
  for (const [, amount = "0", unit = "ms"] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/gu))
    totalMs += Number(amount) * (UNIT_MS[unit] ?? 1);
  return totalMs;
}
