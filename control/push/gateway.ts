// One WebSocket per proxy. What to send is decided by `session.ts`; here are the sockets, the timers and the bounds.
import type { ServerWebSocket, WebSocketHandler } from "bun";
import { parseWith, type Parsed, type Problem } from "../../runtime/contract/problem.ts";
import { MESSAGE_MAX_BYTES, ProxyMessage, type ControlMessage, type Told } from "../../runtime/contract/protocol.ts";
import type { Tap } from "../../runtime/contract/tap.ts";
import type { Version } from "../../runtime/contract/snapshot.ts";
import type { Identity } from "../compile/world.ts";
import { startSession, stepSession, type Session, type SessionEvent } from "./session.ts";
import { statusOf, type ProxyStatus } from "./status.ts";

/** A snapshot ready to be sent. */
export interface Publication {
  readonly version: Version;
  /** The whole `push` message. */
  readonly message: string;
}

export interface GatewayTiming {
  /** A connection without a hello is closed after this. Default `10_000`. */
  readonly helloTimeoutMs: number;
  /** A proxy that has not answered a push for this long is disconnected; it will come back. Default `300_000`. */
  readonly answerTimeoutMs: number;
  /** Wait before a refused version is sent again; doubles with each refusal. Default `1000`. */
  readonly retryMinMs: number;
  /** The longest such wait. Default `300_000`. */
  readonly retryMaxMs: number;
  /** Proxies wait for this to know that control is there. Default `15_000`. */
  readonly pingIntervalMs: number;
  /** Connections at once; one more is refused. Default `10_000`. */
  readonly connectionsMax: number;
}

export const GATEWAY: GatewayTiming = {
  helloTimeoutMs: 10_000,
  answerTimeoutMs: 300_000,
  retryMinMs: 1000,
  retryMaxMs: 300_000,
  pingIntervalMs: 15_000,
  connectionsMax: 10_000,
};

export interface GatewayLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** A connected proxy, as what it tells is told on. */
export interface ToldBy extends Identity {
  readonly id: string;
}

export interface GatewayOptions {
  /** What a proxy should run now. */
  readonly publicationFor: (identity: Identity) => Parsed<Publication>;
  /** Takes what a proxy tells by itself. */
  readonly told: (told: Told, proxy: ToldBy) => void;
  readonly timing?: Partial<GatewayTiming> | undefined;
  readonly log: GatewayLog;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
}

/** What a socket carries; `undefined` until its hello. */
export interface Peer {
  proxy: Proxy | undefined;
  helloTimer: ReturnType<typeof setTimeout> | undefined;
}

interface Proxy extends Identity {
  readonly id: string;
  readonly socket: ServerWebSocket<Peer>;
  readonly connectedAtMs: number;
  session: Session;
  wanted: Publication | undefined;
  problems: readonly Problem[];
  retryTimer: ReturnType<typeof setTimeout> | undefined;
  answerTimer: ReturnType<typeof setTimeout> | undefined;
  pushedAtMs: number;
  lastPushMs: number | undefined;
}

export interface GatewayCounts {
  pushes: number;
  acks: number;
  nacks: number;
}

export interface Gateway {
  readonly handler: WebSocketHandler<Peer>;
  /** Whether one more connection may come. */
  accepts(): boolean;
  /** What proxies should run may be other than what they were sent; `publish` follows. */
  changed(): void;
  /** Sends every proxy what it should run now and does not run yet. */
  publish(): void;
  /** Tells every proxy, those too that come later, which filters are looked at. */
  watch(taps: readonly Tap[]): void;
  /** By id. */
  proxies(): readonly ProxyStatus[];
  readonly counts: Readonly<GatewayCounts>;
  stop(): void;
}

/** A proxy's own messages are small: at most 1000 problems, or what 100 trials differed in. */
const PROXY_MESSAGE_MAX_BYTES = 4 * 1024 * 1024;
/** How long proxies are published to before everything else gets its turn. */
const PUBLISH_SLICE_MS = 10;
/** Close codes of RFC 6455 §7.4.1. */
const GOING_AWAY = 1001;
const POLICY = 1008;

export function createGateway({ publicationFor, told, timing: given, log, now }: GatewayOptions): Gateway {
  const timing = { ...GATEWAY, ...given };
  const proxies = new Map<string, Proxy>();
  const counts: GatewayCounts = { pushes: 0, acks: 0, nacks: 0 };
  /** Proxies that may have to run something else since the last change. */
  const due = new Set<Proxy>();
  let publishing: ReturnType<typeof setImmediate> | undefined;
  /** There was a change that is not published yet. */
  let isChanged = false;
  let connections = 0;
  let taps: readonly Tap[] = [];
  const pings = setInterval(() => {
    for (const { socket } of proxies.values()) socket.ping();
  }, timing.pingIntervalMs);
  pings.unref();

  function step(proxy: Proxy, event: SessionEvent) {
    const { session, send } = stepSession(proxy.session, event);
    proxy.session = session;
    if (send !== undefined) push(proxy, send);
  }

  function push(proxy: Proxy, version: Version) {
    clearTimeout(proxy.retryTimer);
    // A version to send is always the wanted one: only the newest waits, and a newer one takes the place of one refused.
    if (proxy.wanted?.version !== version)
      throw new Error(`${proxy.id} should be sent ${version}, which is not wanted`);
    proxy.pushedAtMs = now();
    proxy.answerTimer = setTimeout(
      () => refuse(proxy.socket, "a push was not answered in time"),
      timing.answerTimeoutMs,
    );
    counts.pushes += 1;
    log.info({ proxy: proxy.id, version, bytes: proxy.wanted.message.length }, "push");
    proxy.socket.send(proxy.wanted.message);
  }

  function publishTo(proxy: Proxy) {
    const publication = publicationFor(proxy);
    if (!publication.ok) {
      proxy.problems = publication.problems;
      log.warn(
        { proxy: proxy.id, problems: publication.problems },
        "no snapshot can be made, the proxy keeps what it runs",
      );
      return;
    }
    proxy.wanted = publication.value;
    proxy.problems = [];
    step(proxy, { kind: "published", version: publication.value.version });
  }

  /** Compiling for many kinds of proxies takes a while; the API and the other connections get their turn in between. */
  function publishDue() {
    publishing = undefined;
    const pauseAtMs = performance.now() + PUBLISH_SLICE_MS;
    for (const proxy of due) {
      due.delete(proxy);
      publishTo(proxy);
      if (performance.now() > pauseAtMs) break;
    }
    if (due.size > 0) publishing = setImmediate(publishDue);
  }

  function greet(socket: ServerWebSocket<Peer>, hello: Extract<ProxyMessage, { readonly kind: "hello" }>) {
    clearTimeout(socket.data.helloTimer);
    const { id, service, namespace, labels, version } = hello;
    const before = proxies.get(id);
    if (before !== undefined) {
      // A proxy that lost its connection comes back before control has noticed; the old socket is dead.
      log.info({ proxy: id }, "the proxy connected again");
      before.socket.data.proxy = undefined;
      forget(before);
      before.socket.close(POLICY, "the same proxy connected again");
    }
    const proxy: Proxy = {
      id,
      service,
      namespace,
      labels,
      socket,
      connectedAtMs: now(),
      session: startSession(version),
      wanted: undefined,
      problems: [],
      retryTimer: undefined,
      answerTimer: undefined,
      pushedAtMs: 0,
      lastPushMs: undefined,
    };
    socket.data.proxy = proxy;
    proxies.set(id, proxy);
    log.info({ proxy: id, service, namespace, version }, "proxy connected");
    if (taps.length > 0) sendTaps(socket);
    publishTo(proxy);
  }

  function answer(proxy: Proxy, message: Extract<ProxyMessage, { readonly kind: "ack" | "nack" }>) {
    if (message.version === proxy.session.inFlight) {
      clearTimeout(proxy.answerTimer);
      proxy.lastPushMs = now() - proxy.pushedAtMs;
    }
    if (message.kind === "ack") {
      counts.acks += 1;
      log.info({ proxy: proxy.id, version: message.version, ms: proxy.lastPushMs }, "applied");
      step(proxy, { kind: "acked", version: message.version });
      return;
    }
    counts.nacks += 1;
    log.warn({ proxy: proxy.id, version: message.version, problems: message.problems }, "the proxy refused a snapshot");
    step(proxy, { kind: "nacked", version: message.version, problems: message.problems });
    const { rejected, inFlight } = proxy.session;
    if (rejected === undefined || inFlight !== undefined) return;
    const waitMs = Math.min(timing.retryMaxMs, timing.retryMinMs * 2 ** Math.min(rejected.attempts - 1, 20));
    clearTimeout(proxy.retryTimer);
    proxy.retryTimer = setTimeout(() => step(proxy, { kind: "retry_due" }), waitMs);
  }

  function forget(proxy: Proxy) {
    clearTimeout(proxy.retryTimer);
    clearTimeout(proxy.answerTimer);
    due.delete(proxy);
  }

  function receive(socket: ServerWebSocket<Peer>, text: string) {
    const message = parseMessage(text);
    if (!message.ok) return refuse(socket, "the message is not one of the protocol", message.problems);
    const { proxy } = socket.data;
    if (message.value.kind === "hello") {
      if (proxy !== undefined) return refuse(socket, "hello came twice");
      return greet(socket, message.value);
    }
    if (proxy === undefined) return refuse(socket, "the first message must be hello");
    if (message.value.kind === "ack" || message.value.kind === "nack") return answer(proxy, message.value);
    return told(message.value, proxy);
  }

  function sendTaps(socket: ServerWebSocket<Peer>) {
    const message: ControlMessage = { kind: "taps", taps: [...taps] };
    socket.send(JSON.stringify(message));
  }

  function refuse(socket: ServerWebSocket<Peer>, reason: string, problems: readonly Problem[] = []) {
    log.warn({ proxy: socket.data.proxy?.id, reason, problems }, "connection of a proxy refused");
    const shown = problems.length === 0 ? [{ path: "", message: reason }] : problems.slice(0, 100);
    const message: ControlMessage = { kind: "refused", problems: [...shown] };
    socket.send(JSON.stringify(message));
    socket.close(POLICY, reason);
  }

  return {
    handler: {
      maxPayloadLength: PROXY_MESSAGE_MAX_BYTES,
      // Room for one push that a slow proxy has not read, and no more.
      backpressureLimit: 2 * MESSAGE_MAX_BYTES,
      closeOnBackpressureLimit: true,
      // Seconds without a byte from the proxy; its pongs count.
      idleTimeout: 60,
      perMessageDeflate: false,
      open(socket) {
        connections += 1;
        socket.data.helloTimer = setTimeout(() => refuse(socket, "no hello in time"), timing.helloTimeoutMs);
      },
      message(socket, data) {
        receive(socket, typeof data === "string" ? data : "");
      },
      close(socket, code, reason) {
        connections -= 1;
        clearTimeout(socket.data.helloTimer);
        const { proxy } = socket.data;
        if (proxy === undefined) return;
        forget(proxy);
        proxies.delete(proxy.id);
        log.info({ proxy: proxy.id, code, reason }, "proxy disconnected");
      },
    },
    accepts: () => connections < timing.connectionsMax,
    changed() {
      isChanged = true;
    },
    publish() {
      isChanged = false;
      for (const proxy of proxies.values()) due.add(proxy);
      if (publishing === undefined) publishDue();
    },
    watch(wanted) {
      taps = wanted;
      for (const { socket } of proxies.values()) sendTaps(socket);
    },
    proxies: () => {
      const all = [...proxies.values()].map((proxy) => renderStatus(proxy, isChanged || due.has(proxy)));
      return all.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    },
    counts,
    stop() {
      clearInterval(pings);
      clearImmediate(publishing);
      for (const { socket } of proxies.values()) socket.close(GOING_AWAY, "control stops");
    },
  };
}

function renderStatus(
  { id, service, namespace, labels, session, wanted, problems, connectedAtMs, lastPushMs }: Proxy,
  isDue: boolean,
): ProxyStatus {
  const status = statusOf(session, { wanted: wanted?.version, problems, isDue });
  const { acked: version, rejected: refused } = session;
  return {
    id,
    service,
    namespace,
    labels,
    status,
    version,
    wanted: wanted?.version,
    refused,
    problems,
    connectedAtMs,
    lastPushMs,
  };
}

function parseMessage(text: string): Parsed<ProxyMessage> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, problems: [{ path: "", message: "is not JSON" }] };
  }
  return parseWith(ProxyMessage, value);
}
