// Keywords of lists.
import type { CompilePart } from "./schema-compile.ts";
import { below, canonical, SchemaFault, type Check, type Run } from "./schema-node.ts";
import { countOf } from "./schema-scalars.ts";

type Part = Readonly<Record<string, unknown>>;

/** A check of a list's own; other values fit. */
type ListCheck = (list: readonly unknown[], run: Run, path: string) => boolean;

export function compileArray(part: Part, compile: CompilePart): readonly Check[] {
  const checks = [...compileItems(part, compile), ...compileContains(part, compile), ...compileSize(part)];
  return checks.map(
    (check): Check =>
      (value, run, path) =>
        !Array.isArray(value) || check(value, run, path),
  );
}

function compileItems(part: Part, compile: CompilePart): readonly ListCheck[] {
  const { items, additionalItems } = part;
  // Before 2020-12 the first items were a list in `items`, and the others in `additionalItems`.
  const first: unknown = part["prefixItems"] ?? (Array.isArray(items) ? items : undefined);
  const others = Array.isArray(items) ? additionalItems : items;
  if (first === undefined && others === undefined) return [];
  if (first !== undefined && !Array.isArray(first)) throw new SchemaFault("prefixItems must be a list of schemas");
  const prefix = first === undefined ? [] : first.map(compile);
  const rest = others === undefined ? undefined : compile(others);
  return [
    (list, run, path) => {
      let fits = true;
      const count = rest === undefined ? Math.min(prefix.length, list.length) : list.length;
      run.spend(count);
      for (let index = 0; index < count; index++) {
        const check = prefix[index] ?? rest;
        if (check === undefined || check(list[index], run, below(path, index))) continue;
        fits = false;
        if (run.isSilent) break;
      }
      return fits;
    },
  ];
}

function compileContains(part: Part, compile: CompilePart): readonly ListCheck[] {
  if (part["contains"] === undefined) return [];
  const check = compile(part["contains"]);
  const min = countOf(part, "minContains") ?? 1;
  const max = countOf(part, "maxContains") ?? Number.POSITIVE_INFINITY;
  return [
    (list, run, path) => {
      let count = 0;
      run.spend(list.length >>> 3);
      for (const item of list) if (run.try(check, item, path)) count++;
      return (count >= min && count <= max) || run.fail(path, `holds ${count} items that fit "contains"`);
    },
  ];
}

function compileSize(part: Part): readonly ListCheck[] {
  const checks: ListCheck[] = [];
  const min = countOf(part, "minItems");
  const max = countOf(part, "maxItems");
  if (min !== undefined)
    checks.push(
      (list, run, path) => list.length >= min || run.fail(path, `has ${list.length} items, must have at least ${min}`),
    );
  if (max !== undefined)
    checks.push(
      (list, run, path) => list.length <= max || run.fail(path, `has ${list.length} items, must have at most ${max}`),
    );
  if (part["uniqueItems"] === true)
    checks.push((list, run, path) => {
      const seen = new Set(list.map((item) => canonical(item, run)));
      return seen.size === list.length || run.fail(path, "has an item twice");
    });
  return checks;
}
