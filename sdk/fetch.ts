// Calls to the upstreams that a filter declares: how they are written down for the host, and what comes back.
import { bytesOf, textOf, type Content } from "./content.ts";
import { checkOutcome, type CallPort } from "./port.ts";

/** A call to an upstream. */
export interface FetchInit {
  /** Default `GET`. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Content;
  /** No longer than the use of the filter allows for this upstream, which is the default. */
  readonly timeoutMs?: number;
  /** Gives the call up. */
  readonly signal?: AbortSignal;
}

interface Fields {
  readonly headers: ReadonlyMap<string, string>;
  readonly setCookies: readonly string[];
}

/** An upstream's answer, whole. Two fields: an object's third costs an interpreter as much as both. */
export class UpstreamResponse {
  /** @internal The status, LF, and fields as `name: value` LF, names in lower case. Not `#private`, which an interpreter pays for at each access. */
  declare readonly head: string;
  /** @internal */
  declare readonly body: Uint8Array;
  /** @internal Made where one is read. */
  declare fields: Fields | undefined;

  get status(): number {
    return Number.parseInt(this.head, 10);
  }

  /** Names in lower case; several fields of a name joined with `", "`, but `set-cookie`, which cannot be. */
  get headers(): ReadonlyMap<string, string> {
    return parsed(this).headers;
  }

  /** Each `Set-Cookie`. */
  get setCookies(): readonly string[] {
    return parsed(this).setCookies;
  }

  /** 200 to 299. */
  get ok(): boolean {
    const { status } = this;
    return status >= 200 && status < 300;
  }

  bytes(): Promise<Uint8Array> {
    return Promise.resolve(this.body);
  }

  text(): Promise<string> {
    return Promise.resolve(textOf(this.body));
  }

  /** Rejects with a `SyntaxError` where the body is no JSON. */
  async json(): Promise<unknown> {
    return JSON.parse(textOf(this.body));
  }
}

const RESPONSE = UpstreamResponse.prototype;

function parsed(response: UpstreamResponse): Fields {
  return (response.fields ??= parseFields(response.head));
}

const PATH = /^\/[\x21-\x7e]*$/u;
const METHOD = /^[A-Z][A-Z-]{0,31}$/u;

/**
 * Calls `path` (with its query, beginning with `/`) of a declared upstream. Rejects with an `OperationError` where there
 * is no answer, named `TimeoutError` where time was up and `AbortError` where it was given up.
 */
export function fetchUpstream(
  port: CallPort,
  upstream: string,
  path: string,
  init: FetchInit | undefined,
): Promise<UpstreamResponse> {
  try {
    const request = renderRequest(upstream, path, init);
    if (init === undefined) return port.operate("fetch", request, parseResponse, undefined);
    const { body, signal } = init;
    const payload = body === undefined ? undefined : bytesOf(body);
    return port.operate("fetch", request, parseResponse, { payload, signal });
  } catch (error) {
    return Promise.reject(error);
  }
}

/** What was right last time: an expression costs the sandbox's interpreter what a hundred comparisons do. */
let knownPath = "/";
let knownMethod = "GET";

function renderRequest(upstream: string, path: string, init: FetchInit | undefined): string {
  if (path !== knownPath && !PATH.test(path))
    throw new TypeError(`path ${JSON.stringify(path)} must begin with / and hold no space`);
  knownPath = path;
  // Sums: the interpreter makes a method call of a template.
  /* oxlint-disable prefer-template */
  if (init === undefined) return upstream + " GET " + path + "\n\n";
  const { method = "GET", headers, timeoutMs } = init;
  if (method !== knownMethod && !METHOD.test(method))
    throw new TypeError(`method ${JSON.stringify(method)} must be upper-case letters`);
  knownMethod = method;
  let request = upstream + " " + method + " " + path + "\n";
  /* oxlint-enable prefer-template */
  if (timeoutMs !== undefined) request += `timeout: ${Math.max(1, Math.round(timeoutMs))}\n`;
  request += "\n";
  if (headers === undefined) return request;
  for (const [name, value] of Object.entries(headers)) {
    if (name.includes("\n") || value.includes("\n")) throw new TypeError(`${name}: a field holds no line break`);
    request += `${name}: ${value}\n`;
  }
  return request;
}

function parseResponse(outcome: string, payload: Uint8Array): UpstreamResponse {
  checkOutcome(outcome);
  // A literal, which an interpreter makes in half the steps of a constructor's call.
  const response = { __proto__: RESPONSE, head: outcome, body: payload };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has the prototype and the fields of one
  return response as unknown as UpstreamResponse;
}

function parseFields(lines: string): Fields {
  const headers = new Map<string, string>();
  const setCookies: string[] = [];
  for (const line of lines.split("\n")) {
    // The status has none.
    const colon = line.indexOf(": ");
    if (colon < 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 2);
    // RFC 6265 §3: cookies hold commas, so these fields are never joined.
    if (name === "set-cookie") {
      setCookies.push(value);
      continue;
    }
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { headers, setCookies };
}
