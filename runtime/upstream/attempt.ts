// One exchange at its cluster: an endpoint, a connection, and another try where that is safe.
import type { LiveCluster, LiveEndpoint } from "../cluster/cluster.ts";
import type { Requester, Sending } from "../codec/upstream-client.ts";
import type { Clock, Exchange, Outcome, Waiter } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { Later } from "../exchange/later.ts";
import { TIMER_MAX_MS } from "../contract/duration.ts";
import { timeoutOf } from "../grpc/deadline.ts";
import type { Reply } from "../exchange/reply.ts";
import type { Pool } from "./pool.ts";
import type { Claimant, PooledConnection } from "./pooled-connection.ts";
import { REPLAY_MAX_BYTES, ReplayBody } from "./replay-body.ts";

/** Istio's default for outbound routes: two more tries where the request cannot have been acted on. */
const RETRIES_MAX = 2;

/** RFC 9110 §9.2.2: a request of these may go out again although the first may have been read. */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** A request on its way. */
export class Attempt extends Later implements Claimant, Requester, Waiter {
  endpoint: LiveEndpoint;
  readonly #cluster: LiveCluster;
  readonly #pool: Pool;
  readonly #clock: Clock;
  #connection: PooledConnection | undefined = undefined;
  #sending: Sending | undefined = undefined;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  #isReused = false;
  #isWaiting = true;
  #reply: Reply | undefined = undefined;

  constructor(exchange: Exchange, cluster: LiveCluster, pool: Pool, endpoint: LiveEndpoint, clock: Clock) {
    super(exchange);
    this.#cluster = cluster;
    this.#pool = pool;
    this.endpoint = endpoint;
    this.#clock = clock;
  }

  get protocol(): Exchange["protocol"] {
    return this.exchange.isGrpcWeb ? "HTTP/2" : this.exchange.protocol;
  }

  start(): void {
    const timeoutMs = timeoutOf(this.exchange);
    this.exchange.waiter = this;
    if (timeoutMs > 0)
      this.#timer = setTimeout(
        () => this.aborted(failure("response_timeout", `no whole reply within ${timeoutMs} ms`)),
        Math.min(timeoutMs, TIMER_MAX_MS),
      );
    this.#cluster.activeRequests++;
    // An upgrade takes its connection along, and one that is new cannot have died meanwhile.
    this.#claim(
      this.exchange.upgrade !== "" && (this.#cluster.protocol === "http1" || this.#cluster.protocol === "tcp"),
    );
  }

  granted(connection: PooledConnection): void {
    if (!this.#isWaiting) {
      // The request was given up while its connection opened; the next one can have it.
      connection.release(true);
      return;
    }
    const { client, endpoint } = connection;
    const exchange = this.exchange;
    this.endpoint = endpoint;
    this.#connection = connection;
    this.#isReused = client.requests > 0;
    if (this.#isReused || client.mayRefuse) this.#keepBody(client.mayRefuse);
    endpoint.activeRequests++;
    endpoint.totalRequests++;
    if (this.#tries > 0) exchange.headers.set("x-envoy-attempt-count", String(this.#tries + 1));
    exchange.upstreamHost = endpoint.host;
    exchange.upstreamLocalAddress = client.localAddress;
    exchange.sentMonoMs = this.#clock.monotonic();
    const sending = client.send(exchange, this);
    // It may have failed at once, and another try may be under way by now.
    if (this.#connection === connection) this.#sending = sending;
  }

  denied(cause: Failure): void {
    if (!this.#isWaiting) return;
    // The log says which endpoint could not be reached, as Envoy's does.
    if (cause.kind === "connect_failed" || cause.kind === "connect_timeout")
      this.exchange.upstreamHost = this.endpoint.host;
    this.#retryOr(cause);
  }

  replied(reply: Reply): void {
    const exchange = this.exchange;
    const isMultiplexed = this.#connection?.client.mayRefuse === true && exchange.protocol === "HTTP/2";
    exchange.repliedMonoMs = this.#clock.monotonic();
    this.#reply = reply;
    if (reply.status >= 500) this.endpoint.failedRequests++;
    if (exchange.body instanceof ReplayBody) exchange.body.settle();
    // A tunnel lives as long as its ends want it to.
    if (exchange.upgrade !== "" && reply.status < 300) clearTimeout(this.#timer);
    this.#settle({ ok: true, value: reply }, isMultiplexed);
  }

  failed(cause: Failure): void {
    this.endpoint.failedRequests++;
    this.#retryOr(cause);
  }

  released(isReusable: boolean): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#sending = undefined;
    if (connection === undefined) return;
    connection.endpoint.activeRequests--;
    if (!this.#isWaiting) this.#finish();
    connection.release(isReusable);
  }

  #claim(isFresh: boolean): void {
    this.#pool.claim(this, isFresh);
  }

  /** Failures before a reply. The next try is on another connection, and where there is one on another endpoint. */
  #retryOr(cause: Failure): void {
    const exchange = this.exchange;
    const isSafe =
      cause.retry === "always" || (cause.retry === "if_reused" && this.#isReused && IDEMPOTENT.has(exchange.method));
    // A body that was read is gone, unless it was kept; before a connection was granted none of it was read.
    const { body } = exchange;
    const kept = body instanceof ReplayBody && body.isWhole ? body : undefined;
    const isSpent = body.lengthBytes !== 0 && exchange.sentMonoMs > 0 && kept === undefined;
    if (!isSafe || isSpent || exchange.aborted || this.#tries >= RETRIES_MAX) {
      this.#settle({ ok: false, error: cause });
      if (this.#connection === undefined) this.#finish();
      return;
    }
    kept?.detach();
    this.#tries++;
    this.endpoint = this.#another();
    this.#claim(cause.retry === "if_reused");
  }

  /**
   * On a connection that was used before, and may be dead by now, what may be sent twice is kept; on one that may say that
   * it never looked at a request, every request that is small.
   */
  #keepBody(mayRefuse: boolean): void {
    const exchange = this.exchange;
    const { body, method } = exchange;
    if (body.lengthBytes === 0 || body instanceof ReplayBody || exchange.upgrade !== "") return;
    if (!mayRefuse && (body.lengthBytes === undefined || !IDEMPOTENT.has(method))) return;
    if ((body.lengthBytes ?? 0) <= REPLAY_MAX_BYTES) exchange.body = new ReplayBody(body);
  }

  #tries = 0;

  #another(): LiveEndpoint {
    for (let turn = 0; turn < this.#cluster.endpoints.length; turn++) {
      const picked = this.#cluster.pick();
      if (picked !== undefined && picked !== this.endpoint) return picked;
    }
    return this.endpoint;
  }

  /** The downstream left, or time is up. */
  aborted(cause: Failure): void {
    if (this.#isWaiting) {
      this.#pool.forget(this);
      const connection = this.#connection;
      this.#settle({ ok: false, error: cause });
      if (connection === undefined) {
        this.#finish();
        return;
      }
      this.#sending?.abandon();
      this.released(false);
      return;
    }
    // The head went downstream: the body is cut so that nobody takes it for whole.
    if (cause.kind === "response_timeout") this.#sending?.broken(cause);
    else this.#reply?.body.cancel();
  }

  /** `isNow`: what follows may run inside the caller. Codecs of HTTP/1.1 and whoever tells of a failure are not ready for it. */
  #settle(outcome: Outcome, isNow = false): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    if (isNow) this.settle(outcome);
    else queueMicrotask(() => this.settle(outcome));
  }

  #finish(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#cluster.activeRequests--;
  }

  #isFinished = false;
}
