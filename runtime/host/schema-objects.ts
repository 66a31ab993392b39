// Keywords of objects.
import type { CompilePart } from "./schema-compile.ts";
import { below, isObject, SchemaFault, type Check, type Run, type SpendNs } from "./schema-node.ts";
import { countOf, matcherOf } from "./schema-scalars.ts";

type Part = Readonly<Record<string, unknown>>;

/** Characters of a name that are copied into a path in a step, as a power of two. */
const NAME_SHIFT = 4;

/** A check of an object's own; other values fit. */
type ObjectCheck = (object: Part, run: Run, path: string) => boolean;

export function compileObject(part: Part, compile: CompilePart, spendNs: SpendNs): readonly Check[] {
  const checks = [
    ...compileRequired(part),
    ...compileProperties(part, compile, spendNs),
    ...compileDependencies(part, compile),
    ...compileNames(part, compile),
  ];
  return checks.map(
    (check): Check =>
      (value, run, path) =>
        !isObject(value) || check(value, run, path),
  );
}

function compileRequired({ required }: Part): readonly ObjectCheck[] {
  // Draft 3 had it as a boolean of the property.
  if (required === undefined || typeof required === "boolean") return [];
  const names = namesOf("required", required);
  return [(object, run, path) => hasAll(names, object, run, path)];
}

function hasAll(names: readonly string[], object: Part, run: Run, path: string): boolean {
  let fits = true;
  run.spend(names.length >>> 1);
  for (const name of names) if (!Object.hasOwn(object, name)) fits = run.fail(below(path, name), "is required");
  return fits;
}

function compileProperties(part: Part, compile: CompilePart, spendNs: SpendNs): readonly ObjectCheck[] {
  const { properties = {}, patternProperties = {}, additionalProperties } = part;
  if (!isObject(properties) || !isObject(patternProperties))
    throw new SchemaFault("properties and patternProperties must be objects");
  const named = new Map(Object.entries(properties).map(([name, schema]) => [name, compile(schema)]));
  const patterns = Object.entries(patternProperties).map(
    ([pattern, schema]) => [matcherOf(pattern, spendNs), compile(schema)] as const,
  );
  const others = additionalProperties === undefined ? undefined : compile(additionalProperties);
  if (named.size === 0 && patterns.length === 0 && others === undefined) return [];

  function checkProperty(name: string, value: unknown, run: Run, path: string): boolean {
    const at = below(path, name);
    const own = named.get(name);
    let fits = own?.(value, run, at) ?? true;
    let isNamed = own !== undefined;
    for (const [matches, check] of patterns) {
      if (!matches(name, run)) continue;
      isNamed = true;
      if (!check(value, run, at)) fits = false;
    }
    return (isNamed || (others?.(value, run, at) ?? true)) && fits;
  }

  return [
    (object, run, path) => {
      let fits = true;
      const entries = Object.entries(object);
      run.spend(entries.length * 2);
      for (const [name, value] of entries) {
        run.spend(name.length >>> NAME_SHIFT);
        if (checkProperty(name, value, run, path)) continue;
        fits = false;
        if (run.isSilent) break;
      }
      return fits;
    },
  ];
}

function compileDependencies(part: Part, compile: CompilePart): readonly ObjectCheck[] {
  const checks: ObjectCheck[] = [];
  for (const keyword of ["dependentRequired", "dependentSchemas", "dependencies"]) {
    const dependencies = part[keyword];
    if (dependencies === undefined) continue;
    if (!isObject(dependencies)) throw new SchemaFault(`${keyword} must be an object`);
    for (const [name, needs] of Object.entries(dependencies)) {
      const check: Check | readonly string[] = Array.isArray(needs) ? namesOf(keyword, needs) : compile(needs);
      checks.push((object, run, path) => {
        if (!Object.hasOwn(object, name)) return true;
        return typeof check === "function" ? check(object, run, path) : hasAll(check, object, run, path);
      });
    }
  }
  return checks;
}

function compileNames(part: Part, compile: CompilePart): readonly ObjectCheck[] {
  const checks: ObjectCheck[] = [];
  const min = countOf(part, "minProperties");
  const max = countOf(part, "maxProperties");
  if (min !== undefined)
    checks.push((object, run, path) => {
      const count = countMembers(object, run);
      return count >= min || run.fail(path, `has ${count} members, must have at least ${min}`);
    });
  if (max !== undefined)
    checks.push((object, run, path) => {
      const count = countMembers(object, run);
      return count <= max || run.fail(path, `has ${count} members, must have at most ${max}`);
    });
  if (part["propertyNames"] !== undefined) {
    const check = compile(part["propertyNames"]);
    checks.push((object, run, path) => {
      let fits = true;
      const names = Object.keys(object);
      run.spend(names.length * 2);
      for (const name of names) {
        run.spend(name.length >>> NAME_SHIFT);
        if (!check(name, run, below(path, name))) fits = false;
      }
      return fits;
    });
  }
  return checks;
}

function countMembers(object: Part, run: Run): number {
  const { length } = Object.keys(object);
  run.spend(length);
  return length;
}

function namesOf(keyword: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((name) => typeof name === "string")) return value;
  throw new SchemaFault(`${keyword} must be a list of names`);
}
