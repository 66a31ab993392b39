// A filter's configuration against the JSON Schema in its manifest. The schema came with a pushed artifact, so it is
// hostile until shown otherwise: depth and steps are bounded, and a pattern that could backtrack for long is left to the
// filter, which checks its configuration again inside the sandbox.
import type { Manifest } from "../../runtime/contract/bundle.ts";
import { renderPath, type Problem } from "../../runtime/contract/problem.ts";

const STEPS_MAX = 100_000;
const DEPTH_MAX = 64;
const PROBLEMS_MAX = 100;
const PATTERN_MAX_LENGTH = 1000;
/** Longest text that a pattern is tried on. */
const MATCHED_MAX_LENGTH = 256;
/** Ways that a pattern may have to match a text, as a power of two: three repetitions on the longest text. */
const WAYS_MAX_BITS = 24;

/** Problems of `config` under the manifest's schema, paths below the configuration (`realm`, `rules[0].name`). None: it fits. */
export function checkConfig(manifest: Manifest, config: unknown): readonly Problem[] {
  if (!isObject(config)) return [{ path: "", message: `configuration of ${manifest.name} must be an object` }];
  const check = new Check(manifest.configSchema);
  try {
    return check.run(config).slice(0, PROBLEMS_MAX);
  } catch (error) {
    if (error instanceof TooLarge) return [{ path: "", message: `configuration of ${manifest.name} ${error.message}` }];
    throw error;
  }
}

/** Problems of the schema itself, so that an artifact is refused before anyone configures it. */
export function checkSchema(manifest: Manifest): readonly Problem[] {
  const isRootObject = manifest.configSchema["type"] === undefined || manifest.configSchema["type"] === "object";
  if (!isRootObject)
    return [{ path: "type", message: `is ${JSON.stringify(manifest.configSchema["type"])}, must be "object"` }];
  return depthOf(manifest.configSchema) > DEPTH_MAX
    ? [{ path: "", message: `is nested deeper than ${DEPTH_MAX} levels` }]
    : [];
}

class TooLarge extends Error {}

type Json = Readonly<Record<string, unknown>>;
type Path = readonly PropertyKey[];

/** One run of a schema over a value. */
class Check {
  readonly #root: Json;
  #steps = 0;
  #depth = 0;

  constructor(root: Json) {
    this.#root = root;
  }

  run(value: unknown): readonly Problem[] {
    return this.#check(this.#root, value, []);
  }

  #check(schema: unknown, value: unknown, path: Path): readonly Problem[] {
    if (++this.#steps > STEPS_MAX) throw new TooLarge(`takes more than ${STEPS_MAX} steps to check`);
    if (schema === false) return problem(path, "is not allowed");
    if (!isObject(schema)) return [];
    if (++this.#depth > DEPTH_MAX) throw new TooLarge(`is nested deeper than ${DEPTH_MAX} levels`);
    const problems = [
      ...this.#checkReference(schema, value, path),
      ...checkType(schema, value, path),
      ...this.#checkChoices(schema, value, path),
    ];
    // What is of the wrong type has no parts worth telling about.
    if (problems.length === 0) problems.push(...this.#checkParts(schema, value, path));
    this.#depth--;
    return problems;
  }

  #checkReference(schema: Json, value: unknown, path: Path): readonly Problem[] {
    const reference = schema["$ref"];
    if (typeof reference !== "string") return [];
    if (reference === "#") return this.#check(this.#root, value, path);
    const name = /^#\/(?:\$defs|definitions)\/([^/]+)$/u.exec(reference)?.[1];
    const definitions = this.#root["$defs"] ?? this.#root["definitions"];
    const target = name !== undefined && isObject(definitions) ? own(definitions, name) : undefined;
    return this.#check(target, value, path);
  }

  #checkChoices(schema: Json, value: unknown, path: Path): readonly Problem[] {
    const problems: Problem[] = [];
    for (const part of list(schema["allOf"])) problems.push(...this.#check(part, value, path));
    for (const key of ["anyOf", "oneOf"]) {
      const choices = list(schema[key]).map((part) => this.#check(part, value, path));
      if (choices.length === 0 || choices.some((found) => found.length === 0)) continue;
      // The choice that came closest says best what is missing.
      problems.push(...choices.reduce((best, found) => (found.length < best.length ? found : best)));
    }
    if (isObject(schema["not"]) && this.#check(schema["not"], value, path).length === 0) {
      problems.push(...problem(path, `${show(value)} is not allowed`));
    }
    return problems;
  }

  #checkParts(schema: Json, value: unknown, path: Path): readonly Problem[] {
    if (typeof value === "string") return checkString(schema, value, path);
    if (typeof value === "number") return checkNumber(schema, value, path);
    if (Array.isArray(value)) return this.#checkArray(schema, value, path);
    return isObject(value) ? this.#checkObject(schema, value, path) : [];
  }

  #checkArray(schema: Json, value: readonly unknown[], path: Path): readonly Problem[] {
    const problems = [...checkCount(schema, "Items", value.length, path)];
    const first = list(schema["prefixItems"]);
    value.forEach((item, index) => {
      const part = index < first.length ? first[index] : schema["items"];
      problems.push(...this.#check(part, item, [...path, index]));
    });
    return problems;
  }

  #checkObject(schema: Json, value: Json, path: Path): readonly Problem[] {
    const problems: Problem[] = [];
    const properties = isObject(schema["properties"]) ? schema["properties"] : {};
    for (const name of list(schema["required"])) {
      if (typeof name === "string" && own(value, name) === undefined)
        problems.push(...problem([...path, name], "is required"));
    }
    const entries = Object.entries(value);
    problems.push(...checkCount(schema, "Properties", entries.length, path));
    for (const [name, item] of entries) {
      const part = own(properties, name);
      if (part !== undefined) problems.push(...this.#check(part, item, [...path, name]));
      else if (schema["additionalProperties"] === false) problems.push(...unknownField([...path, name], properties));
      else problems.push(...this.#check(schema["additionalProperties"], item, [...path, name]));
      problems.push(...this.#check(schema["propertyNames"], name, [...path, name]));
    }
    return problems;
  }
}

function checkType(schema: Json, value: unknown, path: Path): readonly Problem[] {
  const types = typeof schema["type"] === "string" ? [schema["type"]] : list(schema["type"]);
  if (types.length > 0 && !types.some((type) => isOfType(type, value))) {
    return problem(path, `${show(value)} must be ${types.map(String).join(" or ")}`);
  }
  if ("const" in schema && !isSame(schema["const"], value))
    return problem(path, `${show(value)} must be ${show(schema["const"])}`);
  const choices = list(schema["enum"]);
  if (choices.length > 0 && !choices.some((choice) => isSame(choice, value))) {
    return problem(path, `${show(value)} must be one of ${choices.map(show).join(", ")}`);
  }
  return [];
}

function checkString(schema: Json, value: string, path: Path): readonly Problem[] {
  const problems = [...checkCount(schema, "Length", lengthOf(value), path)];
  const { pattern } = schema as { readonly pattern?: unknown };
  if (typeof pattern === "string" && value.length <= MATCHED_MAX_LENGTH && isCheap(pattern)) {
    const expression = compile(pattern);
    if (expression !== undefined && !expression.test(value))
      problems.push(...problem(path, `${show(value)} does not match ${pattern}`));
  }
  return problems;
}

/** Characters as JSON Schema counts them: a surrogate pair is one. */
function lengthOf(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);
}

function checkNumber(schema: Json, value: number, path: Path): readonly Problem[] {
  const rules: readonly (readonly [string, string, (limit: number) => boolean])[] = [
    ["minimum", "at least", (limit) => value >= limit],
    ["maximum", "at most", (limit) => value <= limit],
    ["exclusiveMinimum", "more than", (limit) => value > limit],
    ["exclusiveMaximum", "less than", (limit) => value < limit],
    ["multipleOf", "a multiple of", (limit) => limit <= 0 || Number.isInteger(value / limit)],
  ];
  return rules.flatMap(([key, words, fits]) => {
    const limit = schema[key];
    return typeof limit !== "number" || fits(limit) ? [] : problem(path, `is ${value}, must be ${words} ${limit}`);
  });
}

/** `minLength`, `maxItems` and their like. */
function checkCount(
  schema: Json,
  what: "Length" | "Items" | "Properties",
  count: number,
  path: Path,
): readonly Problem[] {
  const unit = what === "Length" ? "characters" : what.toLowerCase();
  const min = schema[`min${what}`];
  const max = schema[`max${what}`];
  if (typeof min === "number" && count < min) return problem(path, `has ${count} ${unit}, must have at least ${min}`);
  if (typeof max === "number" && count > max) return problem(path, `has ${count} ${unit}, must have at most ${max}`);
  return [];
}

function unknownField(path: Path, properties: Json): readonly Problem[] {
  const known = Object.keys(properties).slice(0, 20);
  return problem(
    path,
    `is not a field that is known here${known.length === 0 ? "" : `; known are ${known.join(", ")}`}`,
  );
}

/**
 * Whether a pattern's time is bounded: few repetitions, none inside of another. An unbounded one multiplies the ways to
 * match by the text's length, an optional part or an alternative by two; together they may make 2^`WAYS_MAX_BITS`.
 */
function isCheap(pattern: string): boolean {
  if (pattern.length > PATTERN_MAX_LENGTH) return false;
  const plain = pattern.replaceAll(/\\./gsu, "x").replaceAll(/\[[^\]]*\]/gu, "x");
  const repeatedGroup = /\)(?:[*+]|\{\d)/u;
  const backReference = /\\[1-9k]/u;
  if (repeatedGroup.test(plain) || backReference.test(pattern)) return false;
  const repeats = plain.match(/[*+]|\{\d+,/gu)?.length ?? 0;
  // The mark of a group, `(?:` or `(?=`, is no choice.
  const choices = plain.replaceAll("(?", "(").match(/[?|]/gu)?.length ?? 0;
  return repeats * Math.log2(MATCHED_MAX_LENGTH) + choices <= WAYS_MAX_BITS;
}

function compile(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern, "u");
  } catch {
    // Not an expression of this engine: the filter's own check decides.
    return undefined;
  }
}

function isOfType(type: unknown, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function depthOf(value: unknown): number {
  // Breadth first, so that a deep schema cannot overflow the stack before it is measured.
  let level: unknown[] = [value];
  let depth = 0;
  while (level.length > 0 && depth <= DEPTH_MAX) {
    depth++;
    level = level.flatMap((item) => (typeof item === "object" && item !== null ? Object.values(item) : []));
  }
  return depth;
}

function isSame(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === "object" && a !== null && JSON.stringify(a) === JSON.stringify(b));
}

function show(value: unknown): string {
  const text = value === undefined ? "undefined" : JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function problem(path: Path, message: string): readonly Problem[] {
  return [{ path: renderPath(path), message }];
}

/** An own property: a schema may be named `constructor`, and must not find the language's. */
function own(value: Json, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
