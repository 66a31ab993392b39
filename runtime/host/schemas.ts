// JSON Schema as host functions: a schema crosses once, documents after that by its digest.
import { answered, quote, readRequest, refused, type HostAnswer } from "./answer.ts";
import { Lru } from "./lru.ts";
import type { Result } from "../exchange/failure.ts";
import { compileSchema, type CompiledSchema } from "./schema-compile.ts";
import { parseJson, Run, SchemaFault, type Check } from "./schema-node.ts";

const SCHEMA_MAX_LENGTH = 512 * 1024;
const SCHEMAS_MAX = 64;
const DOCUMENT_MAX_BYTES = 1024 * 1024;
/** To read a schema and to find what it names. */
const READ_NS_PER_CHARACTER = 100;
const PARSE_NS_PER_BYTE = 15;
const STEP_NS = 50;
const CALL_NS = 2000;

/** Of each schema in it that is compiled, when it is added or when a part is asked for first. */
const COMPILE_NS = 8000;

const compiled = new Lru<CompiledSchema>(SCHEMAS_MAX);
const decoder = new TextDecoder("utf-8", { fatal: true });

/** `json-schema-compile`: request = the schema. Answers its name for `json-schema`. */
export function addSchema(request: string): HostAnswer<string> {
  if (request.length > SCHEMA_MAX_LENGTH)
    return refused(`schema is ${request.length} long, limit is ${SCHEMA_MAX_LENGTH}`);
  const name = new Bun.CryptoHasher("sha256").update(request).digest("base64url");
  const readNs = CALL_NS + request.length * READ_NS_PER_CHARACTER;
  const known = compiled.get(name);
  // The same price whether or not others have asked for it before.
  if (known !== undefined) return answered(name, readNs + known.addedCount * COMPILE_NS);
  const schema = compileSchema(request);
  if (!schema.ok) return refused(schema.error, readNs);
  compiled.set(name, schema.value);
  return answered(name, readNs + schema.value.addedCount * COMPILE_NS);
}

/**
 * `json-schema`: request = the schema's name [ SP pointer to a part of it, percent-coded ] [ LF document ], the document in the
 * payload where it is not there. Answers JSON, a list of problems: `[["/user/age","must be integer, is string"]]`. The error
 * `schema is not known` asks for `json-schema-compile`.
 */
export function validateDocument(request: string, payload: Uint8Array): HostAnswer<string> {
  const { words, text } = readRequest(request);
  const schema = compiled.get(words[0] ?? "");
  if (schema === undefined) return refused("schema is not known");
  const before = schema.compiledCount;
  const check = partOf(schema, words[1]);
  const compileNs = CALL_NS + (schema.compiledCount - before) * COMPILE_NS;
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

function partOf(schema: CompiledSchema, pointer: string | undefined): Result<Check, string> {
  if (pointer === undefined) return { ok: true, value: schema.check };
  const decoded = decode(pointer);
  return decoded === undefined
    ? { ok: false, error: `pointer ${quote(pointer)} is not percent-coded` }
    : schema.part(decoded);
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
