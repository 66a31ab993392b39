// The document's schemas as one JSON Schema (2020-12) that the proxy keeps: what operations use, and what that refers to.
import { jsonSchema, type JsonSchema } from "../../sdk/index.ts";
import { child, DocumentFault, elements, fieldsOf, isFields, members, type Document, type Node } from "./document.ts";

/** Whose bodies schemas are of: what is `readOnly` need not be in requests, what is `writeOnly` not in replies. */
export type Direction = "request" | "response";

/** A schema that a value is checked against; its number in the whole. */
export type Part = number;

const ONE = new Set(["additionalProperties", "items", "not", "if", "then", "else", "contains", "propertyNames"]);
const LIST = new Set(["allOf", "anyOf", "oneOf", "prefixItems"]);
const MAP = new Set(["properties", "patternProperties", "dependentSchemas"]);
const KEPT = new Set([
  "type",
  "enum",
  "const",
  "format",
  "pattern",
  "minLength",
  "maxLength",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "multipleOf",
  "minItems",
  "maxItems",
  "uniqueItems",
  "minContains",
  "maxContains",
  "minProperties",
  "maxProperties",
  "dependentRequired",
]);
/** They change what other schemas mean, or where references lead. */
const UNSUPPORTED = new Set([
  "$id",
  "$anchor",
  "$dynamicRef",
  "$dynamicAnchor",
  "unevaluatedProperties",
  "unevaluatedItems",
]);
/** Less than what the proxy takes. */
const DEPTH_MAX = 48;

/** Collects schemas of one direction. */
export class Schemas {
  readonly #document: Document;
  readonly #direction: Direction;
  /** OpenAPI 3.0: `nullable`, and nothing beside `$ref`. */
  readonly #isOld: boolean;
  readonly #definitions: Record<string, unknown> = {};
  readonly #numbers = new Map<unknown, number>();
  readonly #waiting: Node[] = [];
  readonly #parts: unknown[] = [];
  readonly #places: string[] = [];

  constructor(document: Document, direction: Direction, isOld: boolean) {
    this.#document = document;
    this.#direction = direction;
    this.#isOld = isOld;
  }

  /** Adds a schema of the document's; what it refers to comes along. Throws `DocumentFault` where it cannot be used. */
  add(node: Node): Part {
    return this.addMade(this.translate(node), node.pointer);
  }

  /** Adds one that was made of translated ones; `pointer` is whom its problems are told of. */
  addMade(schema: unknown, pointer: string): Part {
    this.#places.push(pointer);
    return this.#parts.push(schema) - 1;
  }

  /** A schema as it is in the whole. */
  translate(node: Node): unknown {
    const translated = this.#translate(node, 0);
    // Not by recursion: a hundred schemas may refer to each other in a row.
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop())
      this.#definitions[String(this.#numbers.get(next.value))] = this.#translate(next, 0);
    return translated;
  }

  /** The whole, compiled once by the proxy: problems are told by the places of parts. */
  build(tell: (pointer: string, message: string) => void): readonly JsonSchema[] {
    const whole = jsonSchema({ $defs: this.#definitions, parts: this.#parts });
    const parts = this.#parts.map((_, part) => whole.at(`/parts/${part}`));
    const isWhole = compiles(whole, (message) => tell("#", message));
    if (isWhole)
      for (const [part, schema] of parts.entries())
        compiles(schema, (message) => tell(this.#places[part] ?? "#", message));
    return parts;
  }

  #translate(node: Node, depth: number): unknown {
    const { value } = node;
    if (depth > DEPTH_MAX) throw new DocumentFault(node.pointer, `is nested more than ${DEPTH_MAX} deep`);
    if (typeof value === "boolean") return value;
    const fields = fieldsOf(node);
    const made: Record<string, unknown> = {};
    if (fields["$ref"] !== undefined) {
      made["$ref"] = this.#define(this.#document.follow(fields["$ref"], node));
      if (this.#isOld) return made;
    }
    for (const keyword of Object.keys(fields)) {
      if (KEPT.has(keyword)) {
        made[keyword] = fields[keyword];
        continue;
      }
      const part = child(node, keyword);
      if (part === undefined) continue;
      if (UNSUPPORTED.has(keyword)) throw new DocumentFault(part.pointer, `${keyword} is not supported`);
      if (ONE.has(keyword)) made[keyword] = this.#translate(part, depth + 1);
      else if (LIST.has(keyword)) made[keyword] = elements(part).map((one) => this.#translate(one, depth + 1));
      else if (MAP.has(keyword)) made[keyword] = this.#translateAll(part, depth + 1);
      else if (keyword === "required") made[keyword] = this.#required(node, part);
      else if (keyword === "nullable" && this.#isOld) made[keyword] = part.value;
      // What is left describes, and decides nothing.
    }
    return made;
  }

  #translateAll(node: Node, depth: number): unknown {
    const made: Record<string, unknown> = {};
    for (const key of Object.keys(fieldsOf(node))) {
      const part = child(node, key);
      // Not an assignment: a property may be called `__proto__`.
      if (part !== undefined)
        Object.defineProperty(made, key, { value: this.#translate(part, depth), enumerable: true });
    }
    return made;
  }

  #define(target: Node): string {
    let number = this.#numbers.get(target.value);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(target.value, number);
      this.#waiting.push(target);
    }
    return `#/$defs/${number}`;
  }

  /** Without those that the other side sends. */
  #required(schema: Node, required: Node): unknown {
    const { value } = required;
    const properties = child(schema, "properties");
    if (!Array.isArray(value) || properties === undefined) return value;
    const foreign = this.#direction === "request" ? "readOnly" : "writeOnly";
    return value.filter((name: unknown) => {
      const property = child(properties, String(name));
      if (property === undefined) return true;
      const { value: resolved } = this.#document.resolve(property);
      return !(isFields(resolved) && resolved[foreign] === true);
    });
  }
}

/** Types that a schema names, alternatives and what it refers to among them; none where it takes any. */
export function typesOf(document: Document, node: Node): ReadonlySet<string> {
  const types = new Set<string>();
  const seen = new Set<unknown>();
  const look = (part: Node): void => {
    const resolved = document.resolve(part);
    if (seen.has(resolved.value)) return;
    seen.add(resolved.value);
    if (!isFields(resolved.value)) return;
    const { type } = resolved.value;
    for (const one of Array.isArray(type) ? type : [type]) if (typeof one === "string") types.add(one);
    for (const keyword of ["allOf", "anyOf", "oneOf"]) elements(child(resolved, keyword)).forEach(look);
  };
  look(node);
  return types;
}

/** Schemas of an object's properties, by name, of what it refers to and of all that it is made of. */
export function propertiesOf(document: Document, node: Node): ReadonlyMap<string, Node> {
  const properties = new Map<string, Node>();
  const seen = new Set<unknown>();
  const look = (part: Node): void => {
    const resolved = document.resolve(part);
    if (seen.has(resolved.value)) return;
    seen.add(resolved.value);
    if (!isFields(resolved.value)) return;
    for (const [name, property] of members(child(resolved, "properties"))) properties.set(name, property);
    elements(child(resolved, "allOf")).forEach(look);
  };
  look(node);
  return properties;
}

function compiles(schema: JsonSchema, tell: (message: string) => void): boolean {
  try {
    schema.check("null");
    return true;
  } catch (error) {
    tell(messageOf(error));
    return false;
  }
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^json-schema(?:-compile)?: /u, "");
}
