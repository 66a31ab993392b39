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
  const result = schema.safeParse(value);
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

function problemsOf(issue: z.core.$ZodIssue, at: string): readonly Problem[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      path: renderPath([...issue.path, key], at),
      message: "is not a field that is known here",
    }));
  }
  return [{ path: renderPath(issue.path, at), message: issue.message }];
}
