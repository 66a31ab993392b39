// A message's content: what is described of it by media type, and what is wrong with one.
import type { JsonSchema } from "../../sdk/index.ts";
import { child, DocumentFault, flagOf, isFields, members, textOf, type Document, type Node } from "./document.ts";
import type { Finding } from "./findings.ts";
import { kindOf, parseMedia, pickMedia, type MediaKind } from "./media.ts";
import { countPairs, decodeForm, PAIRS_MAX, parsePairs } from "./pairs.ts";
import { problemsOf } from "./problems.ts";
import { propertiesOf, type Part, type Schemas } from "./schemas.ts";
import { readPairs, type Pair, type Style } from "./styles.ts";
import { isAmbiguous, renderString, renderValue, shapeOf, type Read } from "./values.ts";

/** One media type of it. */
export interface Media {
  readonly kind: MediaKind | "range";
  /** Absent where no schema is described. */
  readonly part: Part | undefined;
  /** Fields of a form. An object in one is JSON, unless it is written in another style. */
  readonly fields: readonly Style[];
  /** Any JSON. */
  readonly any: Part | undefined;
}

/** What is described, by media type or range in lower case. */
export type Content = ReadonlyMap<string, Media>;

/** Bodies that are checked, bytes: the proxy reads no longer documents. */
export const CHECKED_MAX_BYTES = 1024 * 1024;

/** The content of a request or a reply. Throws `DocumentFault` where it cannot be used. */
export function compileContent(document: Document, schemas: Schemas, content: Node | undefined): Content {
  return new Map(
    members(content).map(([type, node]): readonly [string, Media] => {
      const name = type.split(";", 1)[0]?.trim().toLowerCase() ?? "";
      const schema = child(node, "schema");
      // Of a range, the message says which of the two it is.
      const isRange = name.endsWith("/*") && schema !== undefined;
      const kind = isRange ? "range" : kindOf(name);
      if (kind === "other") return [name, { kind, part: undefined, fields: [], any: undefined }];
      const mayBeForm = kind === "form" || kind === "range";
      const fields = mayBeForm && schema !== undefined ? compileFields(document, schema, child(node, "encoding")) : [];
      // Without a schema it must be JSON all the same.
      const part = schema === undefined ? schemas.addMade(true, node.pointer) : schemas.add(schema);
      const hasObjects = fields.some(isJson);
      return [name, { kind, part, fields, any: hasObjects ? schemas.addMade(true, node.pointer) : undefined }];
    }),
  );
}

function compileFields(document: Document, schema: Node, encoding: Node | undefined): readonly Style[] {
  return Array.from(propertiesOf(document, schema), ([name, property]) => {
    const encoded = encoding && child(encoding, name);
    const style = (encoded && isFields(encoded.value) ? textOf(encoded, "style") : undefined) ?? "form";
    const shape = shapeOf(document, property);
    if (style !== "form" && style !== "spaceDelimited" && style !== "pipeDelimited" && style !== "deepObject")
      throw new DocumentFault(
        encoded?.pointer ?? property.pointer,
        `style ${JSON.stringify(style)} is not supported in a form`,
      );
    return { name, style, explode: encoded === undefined ? true : flagOf(encoded, "explode", style === "form"), shape };
  });
}

function isJson({ style, shape }: Style): boolean {
  return shape.kind === "object" && style === "form";
}

/** What is described of a body of that type; `undefined` where nothing is. */
export function findMedia(content: Content, contentType: string | null): Media | undefined {
  const type = parseMedia(contentType) ?? "";
  const media = pickMedia(content, type);
  return media?.kind === "range" ? { ...media, kind: kindOf(type) } : media;
}

/** What is wrong with a body of that type. */
export function checkContent(media: Media, schemas: readonly JsonSchema[], bytes: Uint8Array): readonly Finding[] {
  if (media.kind === "json") return findingsOf(problemsOf(partOf(media.part, schemas), bytes));
  if (media.kind === "form") return checkForm(media, schemas, new TextDecoder().decode(bytes));
  return [];
}

function checkForm(media: Media, schemas: readonly JsonSchema[], text: string): readonly Finding[] {
  if (countPairs(text, "&") > PAIRS_MAX)
    return [{ in: "body", pointer: "", detail: `has more than ${PAIRS_MAX} fields` }];
  const pairs = parsePairs(text);
  const findings: Finding[] = [];
  const read: { readonly field: Style; readonly value: Read }[] = [];
  for (const field of [...media.fields, ...undescribed(media, pairs)]) {
    const found = readPairs(isJson(field) ? textField(field.name) : field, pairs, decodeForm);
    const pointer = `/${escape(field.name)}`;
    if (found.kind === "wrong") findings.push({ in: "body", pointer, detail: found.detail });
    else if (found.kind === "read") {
      // Only what is JSON by itself may stand in a document.
      const wrong =
        isJson(field) && found.value.kind === "one" ? problemsOf(partOf(media.any, schemas), found.value.text) : [];
      findings.push(...wrong.map(({ message }) => ({ in: "body", pointer, detail: message }) as const));
      read.push({ field, value: found.value });
    }
  }
  if (findings.length > 0) return findings;
  const render = (prefersNumbers: boolean): string => {
    const rendered = read.map(({ field, value }) => {
      const json = isJson(field) && value.kind === "one" ? value.text : renderValue(field.shape, value, prefersNumbers);
      return `${renderString(field.name)}:${json}`;
    });
    return `{${rendered.join(",")}}`;
  };
  const schema = partOf(media.part, schemas);
  const problems = problemsOf(schema, render(false));
  if (problems.length === 0 || !media.fields.some(({ shape }) => isAmbiguous(shape))) return findingsOf(problems);
  const others = problemsOf(schema, render(true));
  return findingsOf(others.length < problems.length ? others : problems);
}

/** Fields that no property is described for: texts. */
function undescribed({ fields }: Media, pairs: readonly Pair[]): readonly Style[] {
  const known = new Set(fields.map(({ name }) => name));
  const names = pairs
    .map(({ name }) => name)
    .filter((name) => !known.has(name) && !known.has(name.split("[", 1)[0] ?? ""));
  return Array.from(new Set(names), textField);
}

function partOf(part: Part | undefined, schemas: readonly JsonSchema[]): JsonSchema | undefined {
  return part === undefined ? undefined : schemas[part];
}

function textField(name: string): Style {
  return { name, style: "form", explode: true, shape: { kind: "either", types: new Set(), properties: new Map() } };
}

function escape(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

function findingsOf(problems: ReturnType<typeof problemsOf>): readonly Finding[] {
  return problems.map(({ path, message }) => ({ in: "body", pointer: path, detail: message }));
}
