// JSON Schema as host functions: a schema crosses once, documents after that by its digest.
import { answered, quote, readRequest, refused, type HostAnswer } from "./answer.ts";
import { Lru } from "./lru.ts";
import { compileSchema } from "./schema-compile.ts";
import { parseJson, Run, SchemaFault, type Check } from "./schema-node.ts";

const SCHEMA_MAX_LENGTH = 128 * 1024;
const SCHEMAS_MAX = 64;
const DOCUMENT_MAX_BYTES = 1024 * 1024;
const COMPILE_NS_PER_CHARACTER = 300;
const PARSE_NS_PER_BYTE = 15;
const STEP_NS = 50;
const CALL_NS = 2000;

const compiled = new Lru<Check>(SCHEMAS_MAX);
const decoder = new TextDecoder("utf-8", { fatal: true });

/** `json-schema-compile`: request = the schema. Answers its name for `json-schema`. */
export function addSchema(request: string): HostAnswer<string> {
  if (request.length > SCHEMA_MAX_LENGTH)
    return refused(`schema is ${request.length} long, limit is ${SCHEMA_MAX_LENGTH}`);
  const name = new Bun.CryptoHasher("sha256").update(request).digest("base64url");
  const costNs = CALL_NS + request.length * COMPILE_NS_PER_CHARACTER;
  if (compiled.get(name) === undefined) {
    const schema = compileSchema(request);
    if (!schema.ok) return refused(schema.error, costNs);
    compiled.set(name, schema.value);
  }
  return answered(name, costNs);
}

/**
 * `json-schema`: request = the schema's name [ LF document ], the document in the payload where it is not there. Answers JSON, a list of
 * problems: `[["/user/age","must be integer, is string"]]`. The error `schema is not known` asks for `json-schema-compile`.
 */
export function validateDocument(request: string, payload: Uint8Array): HostAnswer<string> {
  const { words, text } = readRequest(request);
  const check = compiled.get(words[0] ?? "");
  if (check === undefined) return refused("schema is not known");
  const length = text?.length ?? payload.length;
  if (length > DOCUMENT_MAX_BYTES) return refused(`document is ${length} long, limit is ${DOCUMENT_MAX_BYTES}`);
  const parsed = parseDocument(text, payload);
  const parseNs = CALL_NS + length * PARSE_NS_PER_BYTE;
  if (!parsed.ok) return answered(JSON.stringify([["", parsed.error]]), parseNs);
  const run = new Run();
  try {
    check(parsed.value, run, "");
    return answered(JSON.stringify(run.problems), parseNs + run.steps * STEP_NS);
  } catch (error) {
    // Beyond a bound of the run, or of the engine's stack.
    if (!(error instanceof SchemaFault || error instanceof RangeError)) throw error;
    return refused(`document ${error.message}`, parseNs + run.steps * STEP_NS);
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
