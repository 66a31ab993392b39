// Calls that filters make: each is an exchange of the proxy's own, sent as any other is, so that pools, balancing, TLS and
// limits of the cluster hold for it too.
import type { Callout, CalloutFault, CalloutReply, CalloutRequest } from "../chain/callout.ts";
import { readWhole } from "../chain/whole-body.ts";
import { bytesBody, EMPTY_BODY } from "../exchange/body.ts";
import {
  Exchange,
  type Clock,
  type Downstream,
  type Outcome,
  type Schedule,
  type Service,
} from "../exchange/exchange.ts";
import { failure, type Failure, type Result } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { promised } from "../exchange/later.ts";

/** Where calls leave from: the current generation. */
export interface CalloutPath {
  /** Sends an exchange to the cluster that its decision names; `undefined` before the first snapshot. */
  forward(): Service | undefined;
  /** `destination_service` of a cluster; `undefined` where there is none of that name. */
  serviceOf(cluster: string): string | undefined;
}

/** Nobody's connection: the proxy itself is the caller. */
const ITSELF: Downstream = {
  direction: "outbound",
  remoteIp: "127.0.0.1",
  remoteAddress: "127.0.0.1:0",
  localAddress: "127.0.0.1:0",
  localPort: 0,
  originalDestination: undefined,
  tls: undefined,
};

/** Makes calls over the current generation. */
export function createCallout(path: CalloutPath, clock: Clock, schedule: Schedule): Callout {
  return async (request, signal) => {
    const forward = path.forward();
    const service = path.serviceOf(request.cluster);
    if (forward === undefined || service === undefined)
      return fault("failed", `cluster ${request.cluster} is not known`);
    if (signal.aborted) return fault("aborted", `call to ${request.cluster} was given up`);
    const exchange = exchangeOf(request, service, clock);
    const onAbort = (): void => leave(exchange, failure("downstream_closed", "the call was given up"));
    signal.addEventListener("abort", onAbort, { once: true });
    const { timeoutMs } = request;
    const stopTimeout = schedule(
      () => leave(exchange, failure("response_timeout", `no whole reply within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const answered = await readReply(await promised(forward(exchange)), request);
    stopTimeout();
    signal.removeEventListener("abort", onAbort);
    if (signal.aborted) return fault("aborted", `call to ${request.cluster} was given up`);
    return answered;
  };
}

function exchangeOf(request: CalloutRequest, service: string, clock: Clock): Exchange {
  const { cluster, authority = service, method, path, body } = request;
  const headers = HeaderMap.from([["host", authority], ...request.headers]);
  if (body.length > 0 || !["GET", "HEAD", "DELETE", "OPTIONS"].includes(method))
    headers.set("content-length", String(body.length));
  const bytes = body.length === 0 ? EMPTY_BODY : bytesBody(body);
  const exchange = new Exchange(ITSELF, method, path, authority, "HTTP/1.1", headers, bytes, clock);
  exchange.decision = { routeName: "callout", cluster, timeoutMs: 0, prepare: undefined, editReply: undefined };
  return exchange;
}

function leave(exchange: Exchange, cause: Failure): void {
  exchange.aborted = true;
  exchange.waiter?.aborted(cause);
}

async function readReply(
  outcome: Outcome,
  { cluster, replyMaxBytes }: CalloutRequest,
): Promise<Result<CalloutReply, CalloutFault>> {
  if (!outcome.ok) return { ok: false, error: faultOf(cluster, outcome.error) };
  const reply = outcome.value;
  const read = await readWhole(reply, replyMaxBytes);
  if (!read.ok) return { ok: false, error: faultOf(cluster, read.error) };
  return { ok: true, value: { status: reply.status, headers: [...reply.headers], body: read.value } };
}

function faultOf(cluster: string, cause: Failure): CalloutFault {
  const kind = cause.kind === "response_timeout" ? "timeout" : "failed";
  return { kind, message: `call to ${cluster}: ${cause.message}` };
}

function fault(kind: CalloutFault["kind"], message: string): Result<never, CalloutFault> {
  return { ok: false, error: { kind, message } };
}
