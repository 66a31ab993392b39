// Asks a document of an OPA server's data whether a request may go on (its REST API, POST /v1/data/…).
import type { BackendOf } from "../contract/adapter.ts";
import type { AdapterAnswer, Backend, BackendParts, Question, Validity } from "./adapter.ts";
import { refusal } from "./refusal.ts";

const REPLY_MAX_BYTES = 64 * 1024;
const MESSAGE_MAX_LENGTH = 4096;
const HEADERS = [
  ["content-type", "application/json"],
  ["accept", "application/json"],
] as const;

/** A check that is a policy of an OPA server, whose `input` are the action's attributes. */
export function buildOpa(parts: BackendParts<"opa">): Backend {
  const { config } = parts;
  return {
    check: { ask: (question) => askOpa(parts, question), keepsAnswers: config.validForMs > 0 },
    stop: () => Promise.resolve(),
  };
}

async function askOpa({ name, config, surroundings }: BackendParts<"opa">, question: Question): Promise<AdapterAnswer> {
  const { cluster, authority, timeoutMs } = config.upstream;
  const { attributes } = question.instance;
  const body = new TextEncoder().encode(JSON.stringify({ input: attributes }));
  const answered = await surroundings.callout(
    {
      cluster,
      authority,
      method: "POST",
      path: config.path,
      headers: HEADERS,
      body,
      timeoutMs,
      replyMaxBytes: REPLY_MAX_BYTES,
    },
    question.signal,
  );
  if (!answered.ok) return failed(answered.error.message);
  const { status, body: reply } = answered.value;
  if (status !== 200) return failed(`${cluster} answered ${status}`);
  return readDecision(name, config, new TextDecoder().decode(reply));
}

/** `{"result": true}` or `{"result": {"allow": false, "status": 401, "message": "…"}}`; without a result the document is not defined. */
export function readDecision(name: string, config: BackendOf<"opa">, text: string): AdapterAnswer {
  const result = resultIn(text);
  if (result === undefined) return failed(`the document ${config.path} is not defined`);
  const { allow, status, message } = typeof result === "boolean" ? { allow: result } : fieldsOf(result);
  if (typeof allow !== "boolean")
    return failed(`the document ${config.path} is neither a boolean nor has one in allow`);
  const validity: Validity = { validForMs: config.validForMs, validUses: config.validUses };
  if (allow) return { kind: "allowed", ...validity };
  return {
    kind: "refused",
    refusal: refusal({
      adapter: name,
      status: isRefusal(status) ? status : config.status,
      message: typeof message === "string" ? message.slice(0, MESSAGE_MAX_LENGTH) : config.message,
    }),
    ...validity,
  };
}

function resultIn(text: string): unknown {
  try {
    return fieldsOf(JSON.parse(text)).result;
  } catch {
    // A server may answer anything.
    return undefined;
  }
}

interface Fields {
  readonly result?: unknown;
  readonly allow?: unknown;
  readonly status?: unknown;
  readonly message?: unknown;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? value : {};
}

function isRefusal(status: unknown): status is number {
  return typeof status === "number" && Number.isInteger(status) && status >= 400 && status <= 599;
}

function failed(message: string): AdapterAnswer {
  return { kind: "failed", message };
}
