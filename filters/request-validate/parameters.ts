// An operation's parameters: compiled once, and all checked against one schema.
import type { JsonSchema } from "../../sdk/index.ts";
import { child, DocumentFault, elements, flagOf, members, textOf, type Document, type Node } from "./document.ts";
import type { Finding } from "./findings.ts";
import { decodeForm, decodePercent } from "./pairs.ts";
import { parsePointer, problemsOf } from "./problems.ts";
import type { Part, Schemas } from "./schemas.ts";
import { readPairs, readSimple, type Deserialized, type Pair, type Style } from "./styles.ts";
import { isAmbiguous, renderString, renderValue, shapeOf, type Read } from "./values.ts";

const PLACES = ["path", "query", "header", "cookie"] as const;
type Place = (typeof PLACES)[number];

interface Parameter extends Style {
  readonly in: Place;
  readonly isRequired: boolean;
  /** Nothing behind its name counts as a value. */
  readonly allowsEmpty: boolean;
  /** Its text is JSON, of this schema. */
  readonly content: Part | undefined;
}

/** What a request brings. */
export interface Sources {
  readonly path: ReadonlyMap<string, string>;
  readonly query: readonly Pair[];
  readonly cookie: readonly Pair[];
  readonly header: (name: string) => string | null;
}

/** The parameters of an operation. */
export interface Parameters {
  readonly all: readonly Parameter[];
  readonly part: Part;
  readonly isAmbiguous: boolean;
}

const STYLES: Readonly<Record<Place, readonly string[]>> = {
  path: ["simple"],
  header: ["simple"],
  cookie: ["form"],
  query: ["form", "spaceDelimited", "pipeDelimited", "deepObject"],
};
/** Told in other ways (OpenAPI, Parameter Object). */
const NOT_PARAMETERS = new Set(["accept", "content-type", "authorization"]);

/** The parameters of an operation, its own before its path's. Throws `DocumentFault` where one cannot be used. */
export function compileParameters(
  document: Document,
  schemas: Schemas,
  pathItem: Node,
  operation: Node,
): Parameters | undefined {
  const nodes = new Map<string, Node>();
  for (const of of [pathItem, operation])
    for (const element of elements(child(of, "parameters"))) {
      const node = document.resolve(element);
      const place = textOf(node, "in") ?? "";
      const name = textOf(node, "name") ?? "";
      if (!isPlace(place))
        throw new DocumentFault(node.pointer, `in is ${JSON.stringify(place)}, must be one of ${PLACES.join(", ")}`);
      if (name === "") throw new DocumentFault(node.pointer, "name is missing");
      if (place !== "header" || !NOT_PARAMETERS.has(name.toLowerCase())) nodes.set(`${place} ${name}`, node);
    }
  if (nodes.size === 0) return undefined;
  const translated = Object.fromEntries(PLACES.map((place) => [place, emptyObject()]));
  const all = Array.from(nodes.values(), (node) => {
    const { parameter, schema } = compileParameter(document, schemas, node);
    const group = translated[parameter.in];
    if (schema !== undefined)
      Object.defineProperty(group?.properties, parameter.name, { value: schema, enumerable: true });
    if (parameter.isRequired) group?.required.push(parameter.name);
    return parameter;
  });
  const part = schemas.addMade({ properties: translated }, operation.pointer);
  return { all, part, isAmbiguous: all.some(({ shape }) => isAmbiguous(shape)) };
}

function emptyObject(): { readonly properties: object; readonly required: string[] } {
  return { properties: {}, required: [] };
}

function compileParameter(
  document: Document,
  schemas: Schemas,
  node: Node,
): { readonly parameter: Parameter; readonly schema: unknown } {
  const place = textOf(node, "in") ?? "";
  if (!isPlace(place)) throw new DocumentFault(node.pointer, "in is missing");
  const schema = child(node, "schema");
  const [[type, media] = [], ...others] = members(child(node, "content"));
  if (others.length > 0 || (schema === undefined) === (media === undefined))
    throw new DocumentFault(node.pointer, "must have either schema or content with one media type");
  if (type !== undefined && !/^[^;]*json/iu.test(type))
    throw new DocumentFault(node.pointer, `content ${JSON.stringify(type)} is not supported, must be application/json`);
  const style = textOf(node, "style") ?? (place === "query" || place === "cookie" ? "form" : "simple");
  if (!isStyle(style) || !STYLES[place].includes(style))
    throw new DocumentFault(
      node.pointer,
      `style ${JSON.stringify(style)} is not supported in ${place}, must be ${STYLES[place].join(" or ")}`,
    );
  const shape = shapeOf(document, schema);
  if (style === "deepObject" && shape.kind !== "object")
    throw new DocumentFault(node.pointer, "style deepObject must be of an object");
  const contentSchema = media && child(media, "schema");
  const parameter = {
    in: place,
    name: place === "header" ? (textOf(node, "name") ?? "").toLowerCase() : (textOf(node, "name") ?? ""),
    isRequired: flagOf(node, "required", place === "path"),
    allowsEmpty: flagOf(node, "allowEmptyValue", false),
    style,
    explode: flagOf(node, "explode", style === "form"),
    shape,
    content: contentSchema && schemas.add(contentSchema),
  };
  return { parameter, schema: schema && schemas.translate(schema) };
}

function isPlace(text: string): text is Place {
  return PLACES.some((place) => place === text);
}

function isStyle(text: string): text is Style["style"] {
  return Object.values(STYLES).some((styles) => styles.includes(text));
}

/** What is wrong with the parameters of a request. */
export function checkParameters(
  { all, part, isAmbiguous: mayBeNumbers }: Parameters,
  schemas: readonly JsonSchema[],
  sources: Sources,
): readonly Finding[] {
  const findings: Finding[] = [];
  const read: { readonly parameter: Parameter; readonly value: Read }[] = [];
  /** Those that are there in any way. */
  const present: Parameter[] = [];
  for (const parameter of all) {
    const found = deserialize(parameter, sources);
    if (found.kind === "absent") continue;
    present.push(parameter);
    const { in: place, name } = parameter;
    if (found.kind === "wrong") findings.push({ in: place, name, pointer: "", detail: found.detail });
    else if (parameter.content !== undefined && found.value.kind === "one")
      for (const { path, message } of problemsOf(schemas[parameter.content], found.value.text))
        findings.push({ in: place, name, pointer: path, detail: message });
    else if (!(parameter.allowsEmpty && found.value.kind === "one" && found.value.text === ""))
      read.push({ parameter, value: found.value });
  }
  const missing = all.some((parameter) => parameter.isRequired && !present.includes(parameter));
  if (read.length === 0 && !missing) return findings;
  const check = (prefersNumbers: boolean) => problemsOf(schemas[part], renderAll(read, present, prefersNumbers));
  let problems = check(false);
  if (problems.length > 0 && mayBeNumbers) problems = fewer(problems, check(true));
  const wrong = new Set(
    present
      .filter((parameter) => !read.some((one) => one.parameter === parameter))
      .map((one) => `${one.in} ${one.name}`),
  );
  for (const { path, message } of problems) {
    const [place = "", name = "", ...rest] = parsePointer(path);
    if (!isPlace(place) || wrong.has(`${place} ${name}`)) continue;
    findings.push({
      in: place,
      name,
      pointer: rest.length === 0 ? "" : path.slice(path.indexOf("/", path.indexOf("/", 1) + 1)),
      detail: message,
    });
  }
  return findings;
}

function fewer<Item>(first: readonly Item[], second: readonly Item[]): readonly Item[] {
  return second.length < first.length ? second : first;
}

/** One document of all; of what is told of already, or is no text of a schema, only that it is there. */
function renderAll(
  read: readonly { readonly parameter: Parameter; readonly value: Read }[],
  present: readonly Parameter[],
  prefersNumbers: boolean,
): string {
  const groups = PLACES.map((place) => {
    const fields = present
      .filter((parameter) => parameter.in === place)
      .map((parameter) => {
        const value = read.find((one) => one.parameter === parameter)?.value;
        return `${renderString(parameter.name)}:${value === undefined ? "null" : renderValue(parameter.shape, value, prefersNumbers)}`;
      });
    return `"${place}":{${fields.join(",")}}`;
  });
  return `{${groups.join(",")}}`;
}

function deserialize(parameter: Parameter, { path, query, cookie, header }: Sources): Deserialized {
  const { in: place, name, content } = parameter;
  switch (place) {
    case "path":
      return readSimple(parameter, path.get(name), decodePercent);
    case "header":
      return content === undefined
        ? readSimple(parameter, header(name) ?? undefined, (raw) => raw.trim())
        : readSimple({ ...parameter, shape: ONE_TEXT }, header(name) ?? undefined, (raw) => raw);
    case "query":
      return readPairs(parameter, query, decodeForm);
    case "cookie":
      return readPairs(parameter, cookie, (raw) => decodePercent(raw) ?? raw);
  }
}

const ONE_TEXT = { kind: "one", types: new Set<string>(), properties: new Map<string, ReadonlySet<string>>() } as const;
