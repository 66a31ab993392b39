// How parameters are written (OpenAPI, "Style Values"): from the pieces of a message to the values that they stand for.
import type { Read, Shape } from "./values.ts";

/** A parameter's way to be written. */
export interface Style {
  readonly name: string;
  readonly style: "simple" | "form" | "spaceDelimited" | "pipeDelimited" | "deepObject";
  readonly explode: boolean;
  readonly shape: Shape;
}

/** A value, what is wrong with how it is written, or that it is absent. */
export type Deserialized =
  | { readonly kind: "read"; readonly value: Read }
  | { readonly kind: "wrong"; readonly detail: string }
  | { readonly kind: "absent" };

/** A name and a value of a query, a form or cookies: both as sent, the name decoded. */
export interface Pair {
  readonly name: string;
  readonly raw: string;
}

type Decode = (raw: string) => string | undefined;

/** Of one parameter: a head holds some thirty thousand. */
const ITEMS_MAX = 1000;
const ABSENT: Deserialized = { kind: "absent" };
const NOT_CODED: Deserialized = { kind: "wrong", detail: "must be percent-coded UTF-8" };
/** Separators as they are sent; a pipe and a space may be coded. */
const SEPARATORS: Readonly<Record<string, RegExp>> = {
  simple: /,/u,
  form: /,/u,
  spaceDelimited: /%20|\+/u,
  pipeDelimited: /\||%7[Cc]/u,
};

/** One text: of a path's segment or of a header. */
export function readSimple({ explode, shape }: Style, raw: string | undefined, decode: Decode): Deserialized {
  if (raw === undefined) return ABSENT;
  if (shape.kind === "one") return oneOf(raw, decode);
  if (shape.kind === "either" && !raw.includes(",")) return oneOf(raw, decode);
  const parts = raw.split(",");
  if (shape.kind !== "object") return listOf(parts, decode);
  return explode ? assignments(parts, decode) : alternating(parts, decode);
}

/** Pairs of a query, of cookies or of a form. */
export function readPairs(style: Style, pairs: readonly Pair[], decode: Decode): Deserialized {
  const { name, shape, explode } = style;
  if (style.style === "deepObject") return readDeep(name, pairs, decode);
  if (shape.kind === "object" && explode) {
    const own = pairs.filter((pair) => shape.properties.has(pair.name));
    return own.length === 0
      ? ABSENT
      : fieldsOf(
          own.map((pair) => [pair.name, pair.raw]),
          decode,
        );
  }
  const values = pairs.filter((pair) => pair.name === name).map(({ raw }) => raw);
  const [first] = values;
  if (first === undefined) return ABSENT;
  if (shape.kind === "list" && explode) return listOf(values, decode);
  if (shape.kind === "either" && explode) return values.length === 1 ? oneOf(first, decode) : listOf(values, decode);
  // What a service makes of a second one, nobody knows.
  if (values.length > 1) return { kind: "wrong", detail: `is given ${values.length} times` };
  if (shape.kind === "one") return oneOf(first, decode);
  const parts = first === "" ? [] : first.split(SEPARATORS[style.style] ?? /,/u);
  if (shape.kind === "object") return alternating(parts, decode);
  return shape.kind === "either" && parts.length < 2 ? oneOf(first, decode) : listOf(parts, decode);
}

function readDeep(name: string, pairs: readonly Pair[], decode: Decode): Deserialized {
  const fields: (readonly [string, string])[] = [];
  for (const pair of pairs) {
    if (!pair.name.startsWith(`${name}[`)) continue;
    const [, key] = /^\[([^[\]]*)\]$/u.exec(pair.name.slice(name.length)) ?? [];
    if (key === undefined) return { kind: "wrong", detail: "must be written as name[property]" };
    fields.push([key, pair.raw]);
  }
  return fields.length === 0 ? ABSENT : fieldsOf(fields, decode);
}

function oneOf(raw: string, decode: Decode): Deserialized {
  const text = decode(raw);
  return text === undefined ? NOT_CODED : { kind: "read", value: { kind: "one", text } };
}

function listOf(raws: readonly string[], decode: Decode): Deserialized {
  if (raws.length > ITEMS_MAX) return { kind: "wrong", detail: `has more than ${ITEMS_MAX} items` };
  const texts = raws.map(decode).filter((text) => text !== undefined);
  return texts.length < raws.length ? NOT_CODED : { kind: "read", value: { kind: "list", texts } };
}

function assignments(parts: readonly string[], decode: Decode): Deserialized {
  if (parts.length > ITEMS_MAX) return { kind: "wrong", detail: `has more than ${ITEMS_MAX} items` };
  if (!parts.every((part) => part.includes("="))) return { kind: "wrong", detail: "must be written as name=value" };
  return fieldsOf(
    parts.map((part) => [decode(part.slice(0, part.indexOf("="))), part.slice(part.indexOf("=") + 1)]),
    decode,
  );
}

function alternating(parts: readonly string[], decode: Decode): Deserialized {
  if (parts.length > ITEMS_MAX) return { kind: "wrong", detail: `has more than ${ITEMS_MAX} items` };
  if (parts.length % 2 === 1) return { kind: "wrong", detail: "must be names and values in turn" };
  const pairs: (readonly [string | undefined, string])[] = [];
  for (let at = 0; at < parts.length; at += 2) pairs.push([decode(parts[at] ?? ""), parts[at + 1] ?? ""]);
  return fieldsOf(pairs, decode);
}

function fieldsOf(pairs: readonly (readonly [string | undefined, string])[], decode: Decode): Deserialized {
  const fields = new Map<string, string>();
  for (const [name, raw] of pairs) {
    const text = decode(raw);
    if (name === undefined || text === undefined) return NOT_CODED;
    if (fields.has(name)) return { kind: "wrong", detail: `gives ${JSON.stringify(name.slice(0, 64))} twice` };
    fields.set(name, text);
  }
  return { kind: "read", value: { kind: "object", fields: [...fields] } };
}
