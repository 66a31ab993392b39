// JSON Schema as host functions: a schema crosses once, documents after that by its digest.
import { answered, quote, readRequest, refused, type HostAnswer } from "./answer.ts";
import { Lru } from "./lru.ts";
import { compileSchema, type CompiledSchema, type Priced } from "./schema-compile.ts";
import { parseJson, Run, SchemaFault, type Check } from "./schema-node.ts";

const SCHEMA_MAX_LENGTH = 512 * 1024;
const SCHEMAS_MAX = 64;
const DOCUMENT_MAX_BYTES = 1024 * 1024;
/** To read a schema and to find what it names. */
const READ_NS_PER_CHARACTER = 100;
const PARSE_NS_PER_BYTE = 15;
const STEP_NS = 50;
const CALL_NS = 2000;
/** Of all schemas together, in characters of their texts: a character may be 80 bytes of what is made of it. */
const KEPT_MAX_LENGTH = 4 * 1024 * 1024;
/** What a nanosecond of compiling leaves, in these characters: a thousandth. */
const NS_PER_KEPT_CHARACTER = 1000;

/** A schema that is kept. */
interface Kept {
  readonly schema: CompiledSchema;
  /** What compiling it took when it was added. */
  readonly addedNs: number;
  weight: number;
}

const compiled = new Lru<Kept>(SCHEMAS_MAX, KEPT_MAX_LENGTH);
const decoder = new TextDecoder("utf-8", { fatal: true });

/** `json-schema-compile`: request = the schema. Answers its name for `json-schema`. */
export function addSchema(request: string): HostAnswer<string> {
  if (request.length > SCHEMA_MAX_LENGTH)
    return refused(`schema is ${request.length} long, limit is ${SCHEMA_MAX_LENGTH}`);
  const name = new Bun.CryptoHasher("sha256").update(request).digest("base64url");
  const readNs = CALL_NS + request.length * READ_NS_PER_CHARACTER;
  const known = compiled.get(name);
  // The same price whether or not others have asked for it before.
  if (known !== undefined) return answered(name, readNs + known.addedNs);
  const { made: schema, costNs: addedNs } = compileSchema(request);
  if (!schema.ok) return refused(schema.error, readNs + addedNs);
  const weight = request.length + addedNs / NS_PER_KEPT_CHARACTER;
  compiled.set(name, { schema: schema.value, addedNs, weight }, weight);
  return answered(name, readNs + addedNs);
}

/**
 * `json-schema`: request = the schema's name [ SP pointer to a part of it, percent-coded ] [ LF document ], the document in the
 * payload where it is not there. Answers JSON, a list of problems: `[["/user/age","must be integer, is string"]]`. The error
 * `schema is not known` asks for `json-schema-compile`.
 */
export function validateDocument(request: string, payload: Uint8Array): HostAnswer<string> {
  const { words, text } = readRequest(request);
  const [name = ""] = words;
  const kept = compiled.get(name);
  if (kept === undefined) return refused("schema is not known");
  const { made: check, costNs } = partOf(kept.schema, words[1]);
  const compileNs = CALL_NS + costNs;
  if (check.ok && costNs > 0) {
    kept.weight += costNs / NS_PER_KEPT_CHARACTER;
    compiled.set(name, kept, kept.weight);
  }
  if (!check.ok) return refused(check.error, compileNs);
  const length = text?.length ?? payload.length;
  if (length > DOCUMENT_MAX_BYTES)
    return refused(`document is ${length} long, limit is ${DOCUMENT_MAX_BYTES}`, compileNs);
  const parsed = parseDocument(text, payload);
  const parseNs = compileNs + length * PARSE_NS_PER_BYTE;
  if (!parsed.ok) return answered(JSON.stringify([["", parsed.error]]), parseNs);
  const run = new Run();
  try {
    check.value(parsed.value, run, "");
    return answered(JSON.stringify(run.problems), parseNs + run.steps * STEP_NS);
  } catch (error) {
    // Beyond a bound of the run, or of the engine's stack.
    if (!(error instanceof SchemaFault || error instanceof RangeError)) throw error;
    return refused(`document ${error.message}`, parseNs + run.steps * STEP_NS);
  }
}

function partOf(schema: CompiledSchema, pointer: string | undefined): Priced<Check> {
  if (pointer === undefined) return { made: { ok: true, value: schema.check }, costNs: 0 };
  const decoded = decode(pointer);
  if (decoded !== undefined) return schema.part(decoded);
  return { made: { ok: false, error: `pointer ${quote(pointer)} is not percent-coded` }, costNs: 0 };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // A guest may ask for anything.
    return undefined;
  }
}

function parseDocument(text: string | undefined, payload: Uint8Array): ReturnType<typeof parseJson> {
  if (text !== undefined) return parseJson(text);
  try {
    return parseJson(decoder.decode(payload));
  } catch {
    // Not UTF-8, so not JSON (RFC 8259 §8.1).
    return { ok: false, error: `is not JSON: ${quote("bytes that are not UTF-8")}` };
  }
}
