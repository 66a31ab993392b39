// One request and its reply, and the two words that every stage of the request path is made of.
import type { Body } from "./body.ts";
import type { Failure, Result } from "./failure.ts";
import type { FilterCost } from "./filter-cost.ts";
import type { HeaderMap } from "./headers.ts";
import type { Later } from "./later.ts";
import type { Reply, ResponseFlags } from "./reply.ts";

export type Direction = "inbound" | "outbound";
/** Wall clock and monotonic clock, milliseconds. */
export interface Clock {
  /** Since the epoch; for what people read. */
  now(): number;
  /** Never goes back; for spans. */
  monotonic(): number;
}
/** Runs something once, after so many milliseconds; calling what it returns calls it off. */
export type Schedule = (run: () => void, afterMs: number) => () => void;
/** A uniform random number in [0, 1). */
export type Random = () => number;

export type Outcome = Result<Reply, Failure>;
/** An outcome: now, in the call that settles it, or after a filter that waits. */
export type Answer = Outcome | Later | Promise<Outcome>;
/** Answers an exchange; at once where it can, so that a request that need not wait meets no `await`. */
export type Service = (exchange: Exchange) => Answer;
/** Wraps a service: what it does before `next` sees the request going down, what it does after sees the reply coming up. */
export type Layer = (next: Service) => Service;

/** What the route stage decided; compiled once for each destination of each route. */
export interface Decision {
  readonly routeName: string;
  /** Name of a cluster. */
  readonly cluster: string;
  /** The whole exchange, `0` for no bound. */
  readonly timeoutMs: number;
  /** Rewrites and header edits, after the filters saw the request. */
  readonly prepare: ((exchange: Exchange) => void) | undefined;
  /** Header edits, before the filters see the reply. */
  readonly editReply: ((headers: HeaderMap) => void) | undefined;
}

/** How the request's head was framed on the downstream connection. */
export type Protocol = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";

/** What TLS told of a downstream. */
export interface TlsPeer {
  /** SNI in lower case; empty where the client sent none. */
  readonly serverName: string;
  /** `TLSv1.3` */
  readonly version: string;
  /** The protocol that ALPN chose; empty for none. */
  readonly alpn: string;
  /** URI of the client's verified certificate, as Istio's `source.principal` without `spiffe://`; empty where it has shown none. */
  readonly principal: string;
  /** The verified certificate, DER; `undefined` where there is none. */
  readonly certificate: Buffer | undefined;
  /** The same for who cannot see it: an element of `x-forwarded-client-cert`; empty where there is none. */
  readonly forwarded: string;
}

/** An address and port. */
export interface Destination {
  readonly ip: string;
  readonly port: number;
}

/** Where the request came in. */
export interface Downstream {
  readonly direction: Direction;
  /** `127.0.0.1`. Behind a PROXY protocol header it is the one that the header says. */
  readonly remoteIp: string;
  /** `127.0.0.1:40112` */
  readonly remoteAddress: string;
  /** `127.0.0.1:8080` */
  readonly localAddress: string;
  readonly localPort: number;
  /** Whom the client called, where its connection was redirected to us or a PROXY protocol header says so. */
  readonly originalDestination: Destination | undefined;
  /** `undefined` for plaintext. */
  readonly tls: TlsPeer | undefined;
}

/** What checks and quotas said. */
export interface Checked {
  /** gRPC's number for the reason of a refusal, `0` for none. */
  readonly errorCode: number;
  /** For reports and logs; empty for none. */
  readonly errorMessage: string;
  /** Every answer came from a cache. */
  readonly isCached: boolean;
}

/** Who takes interim replies (1xx other than 101). */
export interface InterimSink {
  interim(status: number, headers: HeaderMap): void;
}

/** The stage that waits for something. */
export interface Waiter {
  /** The downstream went away, or time is up. */
  aborted(cause: Failure): void;
}

/** What most exchanges have nothing of. In each of them these fields would be half of the memory that a request takes. */
class Rare {
  scheme: Exchange["scheme"] | undefined = undefined;
  upgrade = "";
  expectsContinue = false;
  isProxyForm = false;
  originalPath = "";
  metadata: Map<string, string> | undefined = undefined;
  filterCosts: FilterCost[] | undefined = undefined;
  checked: Checked | undefined = undefined;
  isGrpc = false;
  isGrpcWeb = false;
  grpcStatus = "";
  replyTrailers: HeaderMap | undefined = undefined;
  reply: Reply | undefined = undefined;
  endedMonoMs = 0;
}

/** Of all of those; nobody changes it. */
const NOTHING_RARE = new Rare();

/** Everything known of one request while it is answered. Codecs create it; each stage fills in its own part. */
export class Exchange {
  readonly downstream: Downstream;
  readonly method: string;
  /** Path and query as they came, without scheme and authority. Route rewrites replace it. */
  path: string;
  /** `Host` as it came, port included. */
  authority: string;
  readonly protocol: Protocol;
  /** Passes interim replies on to the downstream; `undefined` where it takes none (HTTP/1.0). */
  interims: InterimSink | undefined = undefined;
  readonly headers: HeaderMap;
  body: Body;
  readonly startedAtMs: number;
  /** Monotonic. */
  readonly startedMonoMs: number;

  // Route (stage 3).
  decision: Decision | undefined = undefined;

  // Upstream (stages 5 to 7).
  /** `destination_service` of the cluster. */
  service = "unknown";
  upstreamHost = "";
  upstreamLocalAddress = "";
  /** Monotonic; when the request went out and when the reply's head came. */
  sentMonoMs = 0;
  repliedMonoMs = 0;

  // Outcome (stage 9).
  status = 0;
  flags: ResponseFlags = "-";
  details = "";
  bytesReceived = 0;
  bytesSent = 0;
  requestId = "";

  /** The downstream went away, or the codec gave up on it. */
  aborted = false;
  /** Called once, when the exchange is over: lets the generation that served it go. */
  onEnd: (() => void) | undefined = undefined;
  /** Told once when `aborted` turns true, and when the codec gives up; the stage that waits sets it. */
  waiter: Waiter | undefined = undefined;

  #rare: Rare = NOTHING_RARE;

  constructor(
    downstream: Downstream,
    method: string,
    path: string,
    authority: string,
    protocol: Protocol,
    headers: HeaderMap,
    body: Body,
    clock: Clock,
  ) {
    this.downstream = downstream;
    this.method = method;
    this.path = path;
    this.authority = authority;
    this.protocol = protocol;
    this.headers = headers;
    this.body = body;
    this.startedAtMs = clock.now();
    this.startedMonoMs = clock.monotonic();
  }

  /** `https` where the request came over TLS. */
  get scheme(): "http" | "https" {
    return this.#rare.scheme ?? (this.downstream.tls === undefined ? "http" : "https");
  }
  set scheme(value: "http" | "https") {
    if (value !== this.scheme) this.#owned().scheme = value;
  }

  /**
   * What the connection is asked to become, in lower case (`websocket`, or `connect` for a CONNECT request); empty for a
   * plain request. With it, bytes flow both ways: the request's body is what the downstream sends until it half-closes,
   * and a reply that accepts has as its body what the upstream sends until it half-closes. What accepts is 101 for an
   * upgrade and 2xx for `connect`, in every protocol: the HTTP/2 codecs translate, as 200 is what accepts on their wire.
   */
  get upgrade(): string {
    return this.#rare.upgrade;
  }
  set upgrade(value: string) {
    if (value !== this.upgrade) this.#owned().upgrade = value;
  }

  /** The upstream is asked for 100 (`Expect`), and the body is held until it says so or answers. */
  get expectsContinue(): boolean {
    return this.#rare.expectsContinue;
  }
  set expectsContinue(value: boolean) {
    if (value !== this.expectsContinue) this.#owned().expectsContinue = value;
  }

  /** The target names its destination, as requests to a forward proxy do: `GET http://shop/`. */
  get isProxyForm(): boolean {
    return this.#rare.isProxyForm;
  }
  set isProxyForm(value: boolean) {
    if (value !== this.isProxyForm) this.#owned().isProxyForm = value;
  }

  /** The path before a rewrite; empty where there was none. */
  get originalPath(): string {
    return this.#rare.originalPath;
  }
  set originalPath(value: string) {
    if (value !== this.originalPath) this.#owned().originalPath = value;
  }

  /** What filters left for later ones and the access log, by names without `metadata.`; `undefined` where none did. */
  get metadata(): Map<string, string> | undefined {
    return this.#rare.metadata;
  }
  set metadata(value: Map<string, string> | undefined) {
    if (value !== this.metadata) this.#owned().metadata = value;
  }

  get filterCosts(): FilterCost[] | undefined {
    return this.#rare.filterCosts;
  }
  set filterCosts(value: FilterCost[] | undefined) {
    if (value !== this.filterCosts) this.#owned().filterCosts = value;
  }

  /** What the checks and quotas of rules made of it; `undefined` where none was asked. */
  get checked(): Checked | undefined {
    return this.#rare.checked;
  }
  set checked(value: Checked | undefined) {
    if (value !== this.checked) this.#owned().checked = value;
  }

  // gRPC (stages 0 and 7).

  get isGrpc(): boolean {
    return this.#rare.isGrpc;
  }
  set isGrpc(value: boolean) {
    if (value !== this.isGrpc) this.#owned().isGrpc = value;
  }

  /** Came as gRPC-Web; upstream it is gRPC. */
  get isGrpcWeb(): boolean {
    return this.#rare.isGrpcWeb;
  }
  set isGrpcWeb(value: boolean) {
    if (value !== this.isGrpcWeb) this.#owned().isGrpcWeb = value;
  }

  /** `grpc-status` of the reply's head; where the head has none, of its trailers. Empty where neither has. */
  get grpcStatus(): string {
    return this.#rare.grpcStatus;
  }
  set grpcStatus(value: string) {
    if (value !== this.grpcStatus) this.#owned().grpcStatus = value;
  }

  /** What followed the reply's body. */
  get replyTrailers(): HeaderMap | undefined {
    return this.#rare.replyTrailers;
  }
  set replyTrailers(value: HeaderMap | undefined) {
    if (value !== this.replyTrailers) this.#owned().replyTrailers = value;
  }

  /** What went up the chain last; kept for filters that look at exchanges that are over. */
  get reply(): Reply | undefined {
    return this.#rare.reply;
  }
  set reply(value: Reply | undefined) {
    if (value !== this.reply) this.#owned().reply = value;
  }

  /** Monotonic; when the last byte of the reply was handed to the connection, 0 before. Set for filters that look at it. */
  get endedMonoMs(): number {
    return this.#rare.endedMonoMs;
  }
  set endedMonoMs(value: number) {
    if (value !== this.endedMonoMs) this.#owned().endedMonoMs = value;
  }

  #owned(): Rare {
    if (this.#rare === NOTHING_RARE) this.#rare = new Rare();
    return this.#rare;
  }
}
