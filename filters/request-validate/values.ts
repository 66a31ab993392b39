// Texts of parameters and forms as the JSON that their schemas are about.
import { propertiesOf, typesOf } from "./schemas.ts";
import { child, type Document, type Node } from "./document.ts";

/** What a parameter's text stands for. */
export interface Shape {
  /** `either` is a list where there are several values, and else one. */
  readonly kind: "one" | "list" | "either" | "object";
  /** Of the value, or of a list's elements. */
  readonly types: ReadonlySet<string>;
  /** Of an object's properties. */
  readonly properties: ReadonlyMap<string, ReadonlySet<string>>;
}

/** A value that was read: a text, texts, or texts by name. */
export type Read =
  | { readonly kind: "one"; readonly text: string }
  | { readonly kind: "list"; readonly texts: readonly string[] }
  | { readonly kind: "object"; readonly fields: readonly (readonly [string, string])[] };

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[Ee][+-]?\d+)?$/u;
const NO_TYPES: ReadonlySet<string> = new Set();

/** By the types that a schema names. */
export function shapeOf(document: Document, schema: Node | undefined): Shape {
  const types = schema === undefined ? NO_TYPES : typesOf(document, schema);
  const named = schema === undefined ? new Map<string, Node>() : propertiesOf(document, schema);
  const isObject = types.has("object") || (types.size === 0 && named.size > 0);
  const properties = new Map(Array.from(named, ([name, node]) => [name, typesOf(document, node)] as const));
  if (isObject) return { kind: "object", types: NO_TYPES, properties };
  if (!types.has("array")) return { kind: "one", types, properties };
  const items = schema && itemsOf(document, schema);
  const others = new Set([...types].filter((type) => type !== "array" && type !== "null"));
  const itemTypes = items === undefined ? NO_TYPES : typesOf(document, items);
  if (others.size === 0) return { kind: "list", types: itemTypes, properties };
  return { kind: "either", types: new Set([...others, ...itemTypes]), properties };
}

/** JSON of a value; with `prefersNumbers`, of a text that may be either. */
export function renderValue(shape: Shape, read: Read, prefersNumbers: boolean): string {
  switch (read.kind) {
    case "one":
      return renderText(read.text, shape.types, prefersNumbers);
    case "list":
      return `[${read.texts.map((text) => renderText(text, shape.types, prefersNumbers)).join(",")}]`;
    case "object": {
      const fields = read.fields.map(
        ([name, text]) =>
          `${renderString(name)}:${renderText(text, shape.properties.get(name) ?? NO_TYPES, prefersNumbers)}`,
      );
      return `{${fields.join(",")}}`;
    }
  }
}

/** Whether a text of it may be a number as well as a string. */
export function isAmbiguous({ types, properties }: Shape): boolean {
  return [types, ...properties.values()].some((all) => all.has("string") && (isNumeric(all) || all.has("boolean")));
}

/** Text as a JSON string. */
export function renderString(text: string): string {
  return JSON.stringify(text.toWellFormed());
}

function renderText(text: string, types: ReadonlySet<string>, prefersNumbers: boolean): string {
  if (types.size > 0 && (!types.has("string") || prefersNumbers)) {
    if (isNumeric(types) && NUMBER.test(text)) return text;
    if (types.has("boolean") && (text === "true" || text === "false")) return text;
    if (types.has("null") && text === "null") return text;
  }
  return renderString(text);
}

function isNumeric(types: ReadonlySet<string>): boolean {
  return types.has("integer") || types.has("number");
}

function itemsOf(document: Document, schema: Node): Node | undefined {
  let found: Node | undefined;
  const seen = new Set<unknown>();
  const look = (part: Node): void => {
    const resolved = document.resolve(part);
    if (seen.has(resolved.value)) return;
    seen.add(resolved.value);
    found ??= child(resolved, "items");
    for (const keyword of ["allOf", "anyOf", "oneOf"]) {
      const list = child(resolved, keyword);
      if (Array.isArray(list?.value))
        list.value.forEach((_, index) => {
          const one = child(list, String(index));
          if (one !== undefined) look(one);
        });
    }
  };
  look(schema);
  return found;
}
