// A fault in configuration, as data. Every parser of configuration answers with all of its problems at once.
import type { z } from "zod";

/** One thing that is wrong with a configuration: where, and what to do about it. */
export interface Problem {
  /** Where it is, from the document's root: `spec.http[0].route[1].weight`. Empty for the document itself. */
  readonly path: string;
  /** What is wrong, with the value in it: `weight is 120, must be 0 to 100`. */
  readonly message: string;
}

/** A value that was checked, or every problem found in it. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Checks `value` against a schema; each issue becomes a problem whose path starts with `at`. */
export function parseWith<T>(schema: z.ZodType<T>, value: unknown, at = ""): Parsed<T> {
  const result = schema.safeParse(value, { error: renderIssue });
  if (result.success) return { ok: true, value: result.data };
  return { ok: false, problems: result.error.issues.flatMap((issue) => problemsOf(issue, at)) };
}

/** Joins a path of keys and indexes: `renderPath(["http", 0, "route"], "spec")` is `spec.http[0].route`. */
export function renderPath(keys: readonly PropertyKey[], at = ""): string {
  return keys.reduce<string>((path, key) => {
    if (typeof key === "number") return `${path}[${key}]`;
    const name = String(key);
    if (!/^[A-Za-z_$][\w$-]*$/u.test(name)) return `${path}[${JSON.stringify(name)}]`;
    return path === "" ? name : `${path}.${name}`;
  }, at);
}

/** One line for a person: `spec.hosts: is required`. */
export function renderProblem(problem: Problem): string {
  return problem.path === "" ? problem.message : `${problem.path}: ${problem.message}`;
}

/** Every problem on a line of its own, for a person. */
export function renderProblems(problems: readonly Problem[]): string {
  return problems.map((problem) => `  ${renderProblem(problem)}`).join("\n");
}

/** Longest rendering of a value inside a message, characters. */
const SHOWN_MAX = 80;
const UNITS: Readonly<Record<string, string>> = { string: "characters", array: "items", object: "fields" };

/** zod's names of types, as people who write YAML say them. */
const TYPES: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

/** What zod's own messages leave out: the value. A message that a schema brings itself goes before this one. */
function renderIssue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return issue.input === undefined
        ? "is required"
        : `is ${renderValue(issue.input)}, must be ${TYPES[issue.expected] ?? `of type ${issue.expected}`}`;
    case "invalid_value": {
      const values = issue.values.map((value) => renderValue(value)).join(", ");
      const fix = issue.values.length === 1 ? values : `one of ${values}`;
      return issue.input === undefined ? `is required, ${fix}` : `is ${renderValue(issue.input)}, must be ${fix}`;
    }
    case "too_small":
      return renderBound(issue.input, issue.origin, "at least", issue.minimum);
    case "too_big":
      return renderBound(issue.input, issue.origin, "at most", issue.maximum);
    case "invalid_union":
      return renderUnion(issue);
    case "invalid_format":
      return renderFormat(issue);
    case "custom":
    case "invalid_element":
    case "invalid_key":
    case "not_multiple_of":
    case "unrecognized_keys":
      // zod's own words.
      return undefined;
  }
}

/** Of several forms none fits: told by the fields that each asks for, where they are objects. */
function renderUnion(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>): string {
  if (issue.input === undefined) return "is required";
  const asked = issue.errors.map((form) =>
    form
      .filter(isMissing)
      .map(({ path }) => String(path[0]))
      .join(" and "),
  );
  const forms = asked.every((fields) => fields !== "") ? `, must have ${asked.join(" or ")}` : "";
  return `is ${renderValue(issue.input)}, which is none of the forms that are known here${forms}`;
}

/** A text that matches no pattern; zod's own words leave it out. */
function renderFormat(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidStringFormat>): string | undefined {
  if (issue.format === "starts_with") return `is ${renderValue(issue.input)}, must start with ${String(issue.prefix)}`;
  return issue.format === "regex" ? `is ${renderValue(issue.input)}, must match ${String(issue.pattern)}` : undefined;
}

function isMissing({ code, path, message }: z.core.$ZodIssue): boolean {
  return code === "invalid_type" && path.length === 1 && message === "is required";
}

function renderBound(input: unknown, origin: string, relation: string, bound: number | bigint): string {
  const unit = UNITS[origin];
  return unit === undefined
    ? `is ${renderValue(input)}, must be ${relation} ${bound}`
    : `must have ${relation} ${bound} ${bound === 1 ? unit.slice(0, -1) : unit}`;
}

function renderValue(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}…`;
}

function problemsOf(issue: z.core.$ZodIssue, at: string): readonly Problem[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      path: renderPath([...issue.path, key], at),
      message: "is not a field that is known here",
    }));
  }
  return [{ path: renderPath(issue.path, at), message: issue.message }];
}
