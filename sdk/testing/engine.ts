// What a test runs a filter on: its source in this process, the component in the sandbox, or the component in a live proxy.
import type { AdapterCalls } from "../../runtime/chain/adapter-calls.ts";
import type { Witness } from "../../runtime/chain/witness.ts";
import type { FilterUse } from "../../runtime/contract/filter.ts";
import type { Exchange, Service } from "../../runtime/exchange/exchange.ts";
import { Reply } from "../../runtime/exchange/reply.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import type { Log } from "../../runtime/chain/native-filter.ts";
import { failure } from "../../runtime/exchange/failure.ts";
import type { AnyFilter } from "../define-filter.ts";
import type { TestClock } from "./exchange.ts";
import { piecesBody, readToEnd } from "./pieces.ts";
import { receivedRequest, type ReceivedRequest, type ScriptedUpstream } from "./upstream.ts";

/** `source`: natively. `component`: in the sandbox, as proxies run it. `proxy`: the same in a live proxy, over sockets. */
export const ENGINES = ["source", "component", "proxy"] as const;
export type EngineName = (typeof ENGINES)[number];

/** What an engine is started with. */
export interface EngineParts {
  readonly filter: AnyFilter;
  /** The filter's file. */
  readonly file: () => string;
  /** All of the use but its source. */
  readonly use: Omit<FilterUse, "source">;
  readonly routeName: string;
  readonly clock: TestClock;
  readonly log: Log;
  readonly witness: Witness;
  /** Who is behind the filter. */
  readonly service: Service;
  /** By the names that the filter declares. */
  readonly upstreams: ReadonlyMap<string, ScriptedUpstream>;
}

/** A filter at work. */
export interface RunningEngine {
  /** Sends a request through the filter to the service. An adapter sees none, and throws. */
  readonly send: Service;
  /** Asks or tells an adapter. A filter is asked nothing, and throws. */
  readonly ask: AdapterCalls["ask"];
  /** What a proxy would expose. */
  stats(): readonly string[];
  /** Resolves when nothing more happens until the clock moves. */
  settle(): Promise<void>;
  /** A failure's text, with positions of the author's files where they are known. */
  readonly explain: (message: string) => string;
  stop(): void;
}

/** A test's answers as a service of the request path. `received` is told of each request before it is answered. */
export function serviceOf(
  upstream: ScriptedUpstream,
  received: (request: ReceivedRequest, exchange: Exchange) => void = () => undefined,
): Service {
  return async function answer(exchange) {
    const { bytes, trailers, aborted } = await readToEnd(exchange.body);
    if (aborted !== undefined) return { ok: false, error: failure("downstream_closed", aborted) };
    const { method, path, authority } = exchange;
    const request = receivedRequest({ method, path, authority }, exchange.headers, bytes, trailers);
    received(request, exchange);
    const made = await upstream.receive(request);
    if (made.kind === "never") return new Promise<never>(() => undefined);
    if (made.kind === "failed") return { ok: true, value: brokenReply() };
    const { body: given, trailers: after } = made.parts;
    const body = piecesBody(given, after);
    const headers = HeaderMap.from(made.headers);
    const lengthBytes = given === undefined && after === undefined ? 0 : body.lengthBytes;
    if (lengthBytes !== undefined) headers.set("content-length", String(lengthBytes));
    return { ok: true, value: new Reply(made.status, "", headers, body) };
  };
}

/** A connection that breaks in the middle of an answer: what a failing upstream looks like from here. */
function brokenReply(): Reply {
  const body = { ...piecesBody(""), lengthBytes: undefined };
  body.pipe = (sink) => sink.abort(failure("internal", "the test has this upstream fail"));
  return new Reply(200, "", new HeaderMap(), body);
}
