// Keywords of numbers and of texts.
import { compilePriced } from "./linear-pattern.ts";
import { formatCheck } from "./schema-formats.ts";
import { SchemaFault, type Check, type SpendNs } from "./schema-node.ts";

type Part = Readonly<Record<string, unknown>>;

/** Steps for a character and a state of a pattern, as a power of two. */
const PATTERN_SHIFT = 5;

export function compileNumber(part: Part): readonly Check[] {
  const checks: Check[] = [];
  const compare = (keyword: string, fits: (value: number, bound: number) => boolean, words: string): void => {
    const bound = part[keyword];
    if (bound === undefined || typeof bound === "boolean") return;
    if (typeof bound !== "number") throw new SchemaFault(`${keyword} must be a number`);
    checks.push(
      (value, run, path) =>
        typeof value !== "number" || fits(value, bound) || run.fail(path, `must be ${words} ${bound}, is ${value}`),
    );
  };
  // Draft 4 and OpenAPI 3.0: `exclusiveMinimum: true` belongs to `minimum`.
  const isAbove = part["exclusiveMinimum"] === true;
  const isBelow = part["exclusiveMaximum"] === true;
  compare("minimum", (value, bound) => (isAbove ? value > bound : value >= bound), isAbove ? "more than" : "at least");
  compare("maximum", (value, bound) => (isBelow ? value < bound : value <= bound), isBelow ? "less than" : "at most");
  compare("exclusiveMinimum", (value, bound) => value > bound, "more than");
  compare("exclusiveMaximum", (value, bound) => value < bound, "less than");
  compare("multipleOf", isMultiple, "a multiple of");
  return checks;
}

/** 0.3 is a multiple of 0.1, though it is not in binary. */
function isMultiple(value: number, of: number): boolean {
  if (of <= 0) return false;
  const times = value / of;
  return Number.isInteger(value) && Number.isInteger(of)
    ? value % of === 0
    : Number.isFinite(times) && Math.abs(times - Math.round(times)) < 1e-9 * Math.max(1, Math.abs(times));
}

export function compileString(part: Part, spendNs: SpendNs): readonly Check[] {
  const checks: Check[] = [];
  const min = countOf(part, "minLength");
  const max = countOf(part, "maxLength");
  if (min !== undefined || max !== undefined) {
    checks.push((value, run, path) => {
      if (typeof value !== "string") return true;
      run.spend(value.length >>> 5);
      const length = lengthOf(value);
      if (min !== undefined && length < min)
        return run.fail(path, `has ${length} characters, must have at least ${min}`);
      return max === undefined || length <= max || run.fail(path, `has ${length} characters, must have at most ${max}`);
    });
  }
  const { pattern, format } = part;
  if (pattern !== undefined) {
    const fits = matcherOf(pattern, spendNs);
    checks.push(
      (value, run, path) =>
        typeof value !== "string" || fits(value, run) || run.fail(path, `must match ${JSON.stringify(pattern)}`),
    );
  }
  const known = typeof format === "string" ? formatCheck(format) : undefined;
  if (known !== undefined) {
    checks.push((value, run, path) => {
      if (typeof value !== "string") return true;
      run.spend(value.length >>> 4);
      return known(value) || run.fail(path, `is no ${String(format)}`);
    });
  }
  return checks;
}

/** A pattern as a question; it pays for its work before it is done. */
export function matcherOf(
  source: unknown,
  spendNs: SpendNs,
): (text: string, run: { spend(steps: number): void }) => boolean {
  if (typeof source !== "string") throw new SchemaFault("pattern must be a string");
  const { pattern, costNs } = compilePriced(source, "");
  spendNs(costNs);
  if (!pattern.ok) throw new SchemaFault(`pattern ${JSON.stringify(source.slice(0, 64))}: ${pattern.error}`);
  const { value } = pattern;
  const states = value.programSize();
  return (text, run) => {
    run.spend(8 + ((text.length * states) >>> PATTERN_SHIFT));
    return value.test(text);
  };
}

/** A bound that counts something. */
export function countOf(part: Part, keyword: string): number | undefined {
  const count = part[keyword];
  if (count === undefined) return undefined;
  if (typeof count !== "number" || !Number.isInteger(count) || count < 0)
    throw new SchemaFault(`${keyword} must be a whole number`);
  return count;
}

/** In characters of Unicode. */
function lengthOf(text: string): number {
  let pairs = 0;
  for (let at = 1; at < text.length; at++) {
    if ((text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800) pairs++;
  }
  return text.length - pairs;
}
