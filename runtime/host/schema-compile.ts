// JSON Schema (2020-12, and what draft 7 and OpenAPI 3.0 write otherwise) as functions over values. Written here since a schema
// comes from a filter: a validator that generates code or matches patterns by backtracking cannot be given one, and none that
// is to be had stops at a bound.
import { compileArray } from "./schema-arrays.ts";
import { compileObject } from "./schema-objects.ts";
import { canonical, isObject, parseJson, SchemaFault, typeOf, type Check, type SpendNs } from "./schema-node.ts";
import { References } from "./schema-references.ts";
import { compileNumber, compileString } from "./schema-scalars.ts";
import type { Result } from "../exchange/failure.ts";

/** Makes the check of a part of the schema; keywords call it for the parts that they hold. */
export type CompilePart = (part: unknown) => Check;

/** What a schema would need that is not here. */
const UNSUPPORTED = ["$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems"] as const;
const TYPES = new Set(["null", "boolean", "object", "array", "number", "string", "integer"]);
/** Of a schema, or of a part of it. */
const COMPILE_MAX_NS = 250_000_000;
/** Of each schema in it. */
const PART_NS = 8000;
/** Of each value that is allowed, and of 64 characters of it. */
const VALUE_NS = 1500;

/** What was compiled, or what is wrong with it, and what it took. */
export interface Priced<Value> {
  readonly made: Result<Value, string>;
  /** About, in nanoseconds; `0` for what was there. */
  readonly costNs: number;
}

/** A schema, and those in it that somebody asks for. */
export interface CompiledSchema {
  readonly check: Check;
  /** Of the part that a pointer (RFC 6901) leads to, compiled when it is asked for first. */
  part(pointer: string): Priced<Check>;
}

/** Compiles a schema's text, or says what is wrong with it. */
export function compileSchema(text: string): Priced<CompiledSchema> {
  const schema = parseJson(text);
  if (!schema.ok) return { made: { ok: false, error: `schema ${schema.error}` }, costNs: 0 };
  const found = attempt(() => new References(schema.value));
  if (!found.ok) return { made: found, costNs: 0 };
  const references = found.value;
  const compiler = new Compiler(references);
  const price = (find: () => unknown): Priced<Check> => {
    compiler.costNs = 0;
    return { made: attempt(() => compiler.compile(find())), costNs: compiler.costNs };
  };
  const { made, costNs } = price(() => schema.value);
  if (!made.ok) return { made, costNs };
  const part = (pointer: string) => price(() => references.follow(pointer));
  return { made: { ok: true, value: { check: made.value, part } }, costNs };
}

function attempt<Value>(compile: () => Value): Result<Value, string> {
  try {
    return { ok: true, value: compile() };
  } catch (error) {
    if (error instanceof SchemaFault) return { ok: false, error: error.message };
    throw error;
  }
}

class Compiler {
  readonly #references: References;
  readonly #compiled = new Map<object, Check>();
  /** Of what is compiled; whoever asks for it begins at none. */
  costNs = 0;

  constructor(references: References) {
    this.#references = references;
  }

  compile(part: unknown): Check {
    if (part === true) return () => true;
    if (part === false) return (_, run, path) => run.fail(path, "is not allowed");
    if (!isObject(part)) throw new SchemaFault(`${JSON.stringify(part)?.slice(0, 64)} is not a schema`);
    const known = this.#compiled.get(part);
    if (known !== undefined) return known;
    this.#spendNs(PART_NS);
    // A schema may be part of itself: what is compiled meanwhile calls what will be here.
    let check: Check | undefined = undefined;
    this.#compiled.set(part, (value, run, path) => check?.(value, run, path) ?? true);
    try {
      check = this.#compileObject(part);
    } catch (error) {
      // What was compiled meanwhile may call a check that will never be here.
      this.#compiled.clear();
      throw error;
    }
    this.#compiled.set(part, check);
    return check;
  }

  #compileObject(part: Readonly<Record<string, unknown>>): Check {
    for (const keyword of UNSUPPORTED)
      if (part[keyword] !== undefined) throw new SchemaFault(`${keyword} is not supported`);
    const compile: CompilePart = (inner) => this.compile(inner);
    const spendNs: SpendNs = (costNs) => this.#spendNs(costNs);
    const checks = [
      ...compileType(part),
      ...this.#compileReference(part),
      ...compileValues(part, spendNs),
      ...compileNumber(part),
      ...compileString(part, spendNs),
      ...compileArray(part, compile),
      ...compileObject(part, compile, spendNs),
      ...compileLogic(part, compile),
    ];
    // OpenAPI 3.0.
    const isNullable = part["nullable"] === true;
    return function checkPart(value, run, path) {
      if (isNullable && value === null) return true;
      run.enter(checks.length);
      let fits = true;
      for (const check of checks) {
        if (check(value, run, path)) continue;
        fits = false;
        if (run.isSilent) break;
      }
      run.leave();
      return fits;
    };
  }

  #spendNs(costNs: number): void {
    this.costNs += costNs;
    if (this.costNs > COMPILE_MAX_NS) throw new SchemaFault("schema takes too long to compile");
  }

  #compileReference(part: Part): readonly Check[] {
    const { $ref: reference } = part;
    if (reference === undefined) return [];
    if (typeof reference !== "string") throw new SchemaFault("$ref must be a string");
    return [this.compile(this.#references.resolve(reference, part))];
  }
}

type Part = Readonly<Record<string, unknown>>;

function compileType({ type }: Part): readonly Check[] {
  if (type === undefined) return [];
  const types = Array.isArray(type) ? type : [type];
  for (const each of types)
    if (!TYPES.has(String(each))) throw new SchemaFault(`type ${JSON.stringify(each)} is not known`);
  const allowed = new Set(types.map(String));
  const message = `must be ${[...allowed].join(" or ")}`;
  return [
    (value, run, path) =>
      allowed.has(typeOf(value)) ||
      (allowed.has("integer") && Number.isInteger(value)) ||
      run.fail(path, `${message}, is ${typeOf(value)}`),
  ];
}

function compileValues(part: Part, spendNs: SpendNs): readonly Check[] {
  const checks: Check[] = [];
  const paid = { spend: (steps: number) => spendNs(steps * VALUE_NS) };
  const { enum: options, const: only } = part;
  if (options !== undefined) {
    if (!Array.isArray(options)) throw new SchemaFault("enum must be a list");
    const known = new Set(options.map((option) => canonical(option, paid)));
    checks.push(
      (value, run, path) => known.has(canonical(value, run)) || run.fail(path, "is none of the values allowed"),
    );
  }
  if ("const" in part) {
    const known = canonical(only, paid);
    checks.push(
      (value, run, path) => canonical(value, run) === known || run.fail(path, `must be ${known.slice(0, 100)}`),
    );
  }
  return checks;
}

function compileLogic(part: Part, compile: CompilePart): readonly Check[] {
  const { allOf, anyOf, oneOf, not, if: condition, then: consequence = true, else: alternative = true } = part;
  const checks: Check[] = [];
  if (allOf !== undefined) checks.push(...listOf("allOf", allOf, compile));
  if (anyOf !== undefined) {
    const options = listOf("anyOf", anyOf, compile);
    checks.push(
      (value, run, path) =>
        options.some((option) => run.try(option, value, path)) || run.fail(path, "fits none of the alternatives"),
    );
  }
  if (oneOf !== undefined) {
    const options = listOf("oneOf", oneOf, compile);
    checks.push((value, run, path) => {
      const count = options.filter((option) => run.try(option, value, path)).length;
      return count === 1 || run.fail(path, `fits ${count} of the alternatives, must fit one`);
    });
  }
  if (not !== undefined) {
    const excluded = compile(not);
    checks.push((value, run, path) => !run.try(excluded, value, path) || run.fail(path, "fits what it must not"));
  }
  if (condition !== undefined) {
    const [when, yes, no] = [compile(condition), compile(consequence), compile(alternative)];
    checks.push((value, run, path) => (run.try(when, value, path) ? yes : no)(value, run, path));
  }
  return checks;
}

function listOf(keyword: string, value: unknown, compile: CompilePart): readonly Check[] {
  if (!Array.isArray(value) || value.length === 0) throw new SchemaFault(`${keyword} must be a list of schemas`);
  return value.map(compile);
}
