// What a compiled JSON Schema is made of, and what bounds a validation.
import type { Result } from "../exchange/failure.ts";

/** Whether a value fits; where it does not, the run is told why. */
export type Check = (value: unknown, run: Run, path: string) => boolean;

/** One thing that is wrong with a document: where, as a JSON pointer, and what. */
export type SchemaProblem = readonly [pointer: string, message: string];

/** Pays for compiling a part of a schema; throws `SchemaFault` where all of it takes too long. */
export type SpendNs = (costNs: number) => void;

/** A schema or a document goes beyond a bound, or a schema is none. */
export class SchemaFault extends Error {}

/** Some 30 ns each. */
const STEPS_MAX = 2_000_000;
const DEPTH_MAX = 256;
const PROBLEMS_MAX = 20;
/** Two keywords that have nothing to do take a step, as a power of two. */
const KEYWORDS_SHIFT = 1;
/** Characters that are copied in a step, as a power of two. */
const COPIED_SHIFT = 6;

/** One validation. */
export class Run {
  readonly problems: SchemaProblem[] = [];
  steps = 0;
  depth = 0;
  /** Inside of an alternative, where not to fit is no problem yet. */
  #silent = 0;

  /** Spends; throws `SchemaFault` beyond the bound, so that no schema and no document take long together. */
  spend(steps: number): void {
    this.steps += steps;
    if (this.steps > STEPS_MAX) throw new SchemaFault(`takes more than ${STEPS_MAX} steps`);
  }

  /** Goes one value, or one reference, deeper, to hold it to so many keywords. */
  enter(keywords: number): void {
    this.spend(1 + (keywords >>> KEYWORDS_SHIFT));
    if (++this.depth > DEPTH_MAX) throw new SchemaFault(`is nested more than ${DEPTH_MAX} deep`);
  }

  leave(): void {
    this.depth--;
  }

  /** Always `false`, as the answer of a check. */
  fail(path: string, message: string): false {
    if (this.#silent === 0 && this.problems.length < PROBLEMS_MAX) this.problems.push([path, message]);
    return false;
  }

  /** Runs a check whose failing may be as it should be. */
  try(check: Check, value: unknown, path: string): boolean {
    this.#silent++;
    const fits = check(value, this, path);
    this.#silent--;
    return fits;
  }

  /** Whether the first problem is enough, since none is told. */
  get isSilent(): boolean {
    return this.#silent > 0;
  }
}

/** What a value is, in JSON Schema's words; a whole number is a `number` too. */
export function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A pointer one step on (RFC 6901 §3). */
export function below(path: string, key: string | number): string {
  return typeof key === "number" ? `${path}/${key}` : `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** A text that is the same for two values exactly where they are equal in JSON. */
export function canonical(value: unknown, run: Pick<Run, "spend">): string {
  run.spend(1);
  const text = canonicalOf(value, run);
  // What is nested is copied once for each that it is nested in.
  run.spend(text.length >>> COPIED_SHIFT);
  return text;
}

function canonicalOf(value: unknown, run: Pick<Run, "spend">): string {
  if (Array.isArray(value)) return `[${value.map((each) => canonical(each, run)).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  const keys = Object.keys(value).toSorted();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key], run)}`).join(",")}}`;
}

/** Reads JSON, or says that it is none. */
export function parseJson(text: string): Result<unknown, string> {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    // Not JSON.
    return { ok: false, error: `is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
}
