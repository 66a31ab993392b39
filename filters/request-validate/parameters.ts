// An operation's parameters, compiled: how each is written, and one schema of all.
import { child, DocumentFault, elements, flagOf, members, textOf, type Document, type Node } from "./document.ts";
import type { Part, Schemas } from "./schemas.ts";
import type { Style } from "./styles.ts";
import { isAmbiguous, shapeOf } from "./values.ts";

/** Where parameters are. */
export const PLACES = ["path", "query", "header", "cookie"] as const;
export type Place = (typeof PLACES)[number];

export interface Parameter extends Style {
  readonly in: Place;
  readonly isRequired: boolean;
  /** Nothing behind its name counts as a value. */
  readonly allowsEmpty: boolean;
  /** Its text is JSON, of this schema. */
  readonly content: Part | undefined;
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

/** Whether it is one of them. */
export function isPlace(text: string): text is Place {
  return PLACES.some((place) => place === text);
}

function isStyle(text: string): text is Style["style"] {
  return Object.values(STYLES).some((styles) => styles.includes(text));
}
