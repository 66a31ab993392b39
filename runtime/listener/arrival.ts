// A connection of which nobody knows yet what it speaks. Its first bytes are held until they tell: a PROXY protocol header,
// TLS (ended here, or passed on), HTTP or something else. Bytes and waiting are bounded; a silent client costs two small objects.
import { Http1Server, type Front } from "../codec/http1-server.ts";
import { Http2Server } from "../codec/http2-server.ts";
import type { StartFiltered } from "../chain/tcp-chain.ts";
import { TcpProxy, type TcpPlan } from "../codec/tcp-proxy.ts";
import type { PortProtocol } from "../contract/tcp.ts";
import type { Downstream, TlsPeer } from "../exchange/exchange.ts";
import type { ConnectionFault } from "../exchange/observer.ts";
import { TcpSession } from "../exchange/tcp-session.ts";
import { parseClientHello, type ClientHello } from "./client-hello.ts";
import { detect } from "./detect.ts";
import { renderAddress, type Connection, type Seat, type SecuredSocket } from "./listener.ts";
import { parseProxyHeader, type Proxied } from "./proxy-protocol.ts";
import { chooseAlpn, isMesh, type ModeRules, type TlsServer } from "./tls.ts";

/** What one generation says about connections of one door. */
export interface Reception {
  readonly proxyProtocol: "OFF" | "OPTIONAL" | "REQUIRED";
  /** `0` is never. */
  readonly detectionTimeoutMs: number;
  protocolOf(port: number): PortProtocol;
  modeOf(port: number): ModeRules;
  readonly tls: TlsServer | undefined;
  /** `undefined`: nobody takes it. */
  tcp(downstream: Downstream, serverName: string): TcpPlan | undefined;
  /** Leads such connections through filters; `undefined` where no filter looks at them. */
  readonly filter?: StartFiltered | undefined;
  /** To that cluster, whatever routes say. */
  planFor(cluster: string): TcpPlan | undefined;
}

/** What connections of one door share; a new generation replaces its parts. */
export interface Desk {
  readonly front: Front;
  reception: Reception;
}

/** `first`: nothing is known. `handshake`: TLS is being agreed on. `inner`: what TLS carries. */
type Phase = "proxy_header" | "first" | "handshake" | "inner";

/** While draining, a silent connection closes after this long, as one between two requests does. */
const DRAIN_IDLE_MS = 1000;
const EMPTY = Buffer.alloc(0);
/** Type of a TLS record, and what the preface of HTTP/2 begins with. */
const HANDSHAKE = 22;
const LETTER_P = 80;
const HTTP: ReadonlySet<PortProtocol> = new Set(["http", "http2", "grpc", "grpc-web"]);
/** Where what is neither HTTP/1 nor the preface is HTTP/2 gone wrong, and its codec says so (RFC 9113 §3.4). */
const HTTP2: ReadonlySet<PortProtocol> = new Set(["http2", "grpc"]);
/** The server speaks first, or may: nothing is waited for. */
const SILENT: ReadonlySet<PortProtocol> = new Set(["tcp", "mongo", "mysql", "redis"]);

/** Holds a seat until it knows to whom it belongs. */
export class Arrival implements Connection {
  readonly #seat: Seat;
  readonly #desk: Desk;
  #downstream: Downstream;
  #phase: Phase;
  #held: Buffer = EMPTY;
  #hasEnded = false;
  /** Of the generation that began the handshake: a later one may have no TLS. */
  #handshakeTimeoutMs = 0;
  /** Monotonic; the beginning of the phase, of its first byte where some came. */
  #sinceMs: number;

  constructor(seat: Seat, desk: Desk) {
    this.#seat = seat;
    this.#desk = desk;
    this.#downstream = seat.downstream;
    this.#phase = desk.reception.proxyProtocol === "OFF" ? "first" : "proxy_header";
    this.#sinceMs = desk.front.clock.monotonic();
  }

  get #port(): number {
    return this.#downstream.originalDestination?.port ?? this.#downstream.localPort;
  }

  get #protocol(): PortProtocol {
    return this.#desk.reception.protocolOf(this.#port);
  }

  /** Takes the seat. A port whose server speaks first waits for nobody. */
  begin(): void {
    this.#seat.connection = this;
    if (this.#phase === "first" && this.#isBlind()) this.#becomeTcp("");
  }

  data(chunk: Buffer): void {
    if (this.#held.length === 0) {
      this.#held = chunk;
      this.#sinceMs = this.#desk.front.clock.monotonic();
    } else {
      this.#held = Buffer.concat([this.#held, chunk]);
    }
    this.#advance();
  }

  /** Nothing was written. */
  drained(): void {
    return undefined;
  }

  ended(): void {
    this.#hasEnded = true;
    if (this.#held.length > 0 && (this.#phase === "first" || this.#phase === "inner")) this.#settle();
    else this.#seat.transport.end();
  }

  closed(): void {
    this.#held = EMPTY;
  }

  sweep(nowMs: number): void {
    const { front, reception } = this.#desk;
    const waitedMs = nowMs - this.#sinceMs;
    if (this.#phase === "handshake") {
      const boundMs = this.#handshakeTimeoutMs;
      if (boundMs > 0 && waitedMs >= boundMs) this.#refuse("tls_timeout");
      return;
    }
    const { detectionTimeoutMs } = reception;
    if (this.#phase !== "proxy_header" && detectionTimeoutMs > 0 && waitedMs >= detectionTimeoutMs) {
      this.#settle();
      return;
    }
    const { idleTimeoutMs, headTimeoutMs } = front.limits;
    if (this.#held.length === 0) {
      if (idleTimeoutMs > 0 && waitedMs >= idleTimeoutMs) this.#seat.transport.end();
      else if (front.isDraining && waitedMs >= DRAIN_IDLE_MS) this.#seat.transport.end();
    } else if (headTimeoutMs > 0 && waitedMs >= headTimeoutMs) {
      if (this.#phase === "proxy_header") this.#refuse("proxy_protocol");
      // Slow bytes that may yet become a request are the codec's, which says 408. Passed on as they are, the rest of that
      // request would go past every route and filter. A client that is silent all that time does not come here.
      else if (this.#protocol === "auto" && this.#held[0] !== HANDSHAKE && this.#isPlainOpen) this.#choose("http1");
      else this.#settle();
    }
  }

  /** Bytes that are not TLS may be what the connection carries. */
  get #isPlainOpen(): boolean {
    return this.#phase === "inner" || this.#desk.reception.modeOf(this.#port).plaintext;
  }

  #advance(): void {
    if (this.#phase === "proxy_header" && !this.#readProxyHeader()) return;
    if (this.#phase === "first") this.#readFirst();
    else if (this.#phase === "inner") this.#readInner();
    // During a handshake nothing is plain: what comes before its end is nobody's.
  }

  /** True where the connection's own bytes begin. */
  #readProxyHeader(): boolean {
    const { proxyProtocol } = this.#desk.reception;
    const header = parseProxyHeader(this.#held);
    if (header === "incomplete") return false;
    if (header === "malformed" || (header === "absent" && proxyProtocol === "REQUIRED")) {
      this.#refuse("proxy_protocol");
      return false;
    }
    if (header !== "absent") {
      if (header.proxied !== undefined) this.#downstream = proxiedDownstream(this.#downstream, header.proxied);
      this.#held = this.#held.subarray(header.bytes);
    }
    this.#phase = "first";
    if (this.#isBlind()) {
      this.#becomeTcp("");
      return false;
    }
    return this.#held.length > 0;
  }

  /** Nothing that the client sends could change where it goes. */
  #isBlind(): boolean {
    const { reception } = this.#desk;
    return SILENT.has(this.#protocol) && reception.modeOf(this.#port).ends === "none";
  }

  #readFirst(): void {
    const kind = detect(this.#held);
    if (kind === undefined && !this.#isHttpAlready(this.#held)) return;
    if (kind === "tls") {
      this.#readHello();
      return;
    }
    const { reception } = this.#desk;
    if (!reception.modeOf(this.#port).plaintext) this.#refuse("plaintext");
    else this.#choose(kind ?? "http1");
  }

  /** A declared port of HTTP waits only for what may still be TLS or the preface of HTTP/2. */
  #isHttpAlready(bytes: Buffer): boolean {
    return HTTP.has(this.#protocol) && bytes[0] !== HANDSHAKE && bytes[0] !== LETTER_P;
  }

  #readHello(): void {
    const hello = parseClientHello(this.#held);
    if (hello === "incomplete") return;
    const { reception } = this.#desk;
    const { ends } = reception.modeOf(this.#port);
    const isOurs = hello !== "malformed" && (ends === "all" || (ends === "mesh" && isMesh(hello.alpn)));
    if (isOurs && reception.tls !== undefined) this.#endTls(hello, reception.tls);
    else if (ends === "all") this.#refuse("tls_error");
    else if (HTTP.has(this.#protocol)) this.#refuse("tls_error");
    else this.#becomeTcp(hello === "malformed" ? "" : hello.serverName);
  }

  #endTls(hello: ClientHello, tls: TlsServer): void {
    const firstBytes = this.#held;
    this.#held = EMPTY;
    this.#phase = "handshake";
    this.#handshakeTimeoutMs = tls.handshakeTimeoutMs;
    this.#sinceMs = this.#desk.front.clock.monotonic();
    this.#seat.upgrade({
      context: tls.pick(hello.serverName),
      alpn: chooseAlpn(hello.alpn, this.#protocol),
      clientCertificate: this.#desk.reception.modeOf(this.#port).clientCertificate,
      firstBytes,
      secured: (socket) => this.#secured(hello, tls, socket),
      failed: (reason) => this.#desk.front.observer.connectionRefused(this.#downstream.direction, faultOf(reason)),
    });
  }

  #secured(hello: ClientHello, tls: TlsServer, socket: SecuredSocket): void {
    const { front } = this.#desk;
    const admitted = socket.peerNames === undefined ? { principal: "" } : tls.admit(socket.peerNames);
    if (admitted === undefined) {
      this.#refuse("tls_san");
      return;
    }
    front.observer.tlsSecured(this.#downstream.direction);
    const peer: TlsPeer = {
      serverName: hello.serverName,
      version: socket.version,
      alpn: socket.alpn,
      principal: admitted.principal,
      certificate: socket.peerCertificate,
      forwarded: socket.peerCertificate === undefined ? "" : tls.tell(socket.peerCertificate, hello.serverName),
    };
    this.#downstream = { ...this.#downstream, tls: peer };
    this.#phase = "inner";
    this.#sinceMs = front.clock.monotonic();
    if (socket.alpn === "h2" || socket.alpn === "istio-h2") this.#choose("http2");
    else if (/^(?:istio-)?http\/1\.[01]$/u.test(socket.alpn)) this.#choose("http1");
    else if (SILENT.has(this.#protocol)) this.#becomeTcp("");
  }

  #readInner(): void {
    const kind = detect(this.#held);
    if (kind !== undefined) this.#choose(kind === "tls" ? "tcp" : kind);
    else if (this.#isHttpAlready(this.#held)) this.#choose("http1");
  }

  /** Time is up or the client has ended: what came is all there is to tell by. */
  #settle(): void {
    if (this.#phase === "first" && !this.#desk.reception.modeOf(this.#port).plaintext) this.#refuse("plaintext");
    else this.#choose("tcp");
  }

  #choose(kind: "http1" | "http2" | "tcp"): void {
    const protocol = this.#protocol;
    // `https` is the application's own TLS, or HTTP where its TLS was ended here.
    const isOpen = protocol === "auto" || (protocol === "https" && this.#phase === "inner");
    const isHttp = HTTP.has(protocol) || (isOpen && kind !== "tcp");
    const { front } = this.#desk;
    if (isHttp) {
      const isHttp2 = kind === "http2" || (kind === "tcp" && HTTP2.has(protocol));
      const Codec = isHttp2 ? Http2Server : Http1Server;
      this.#become(new Codec(this.#seat.transport, this.#downstream, front));
    } else {
      this.#becomeTcp("");
    }
  }

  #becomeTcp(serverName: string): void {
    const { front, reception } = this.#desk;
    const session = new TcpSession(this.#downstream, serverName, front.clock);
    const plan = reception.tcp(this.#downstream, serverName);
    if (plan === undefined) {
      // Bytes that are no request, on a port that has nothing but HTTP: its codec says so.
      const isCaptured = this.#downstream.originalDestination !== undefined;
      if (this.#protocol === "auto" && !isCaptured && serverName === "" && this.#held[0] !== HANDSHAKE) {
        this.#become(new Http1Server(this.#seat.transport, this.#downstream, front));
        return;
      }
      session.flags = "NR";
      session.cluster = "BlackHoleCluster";
      front.observer.tcpOpened(session);
      front.observer.tcpEnded(session);
      this.#seat.transport.end();
      return;
    }
    const { transport } = this.#seat;
    if (reception.filter !== undefined) {
      const filtered = reception.filter({ transport, session, plan, observer: front.observer });
      this.#become(filtered);
      filtered.start();
      return;
    }
    const proxy = new TcpProxy(transport, {
      session,
      upstream: plan.upstreamFor(session),
      idleTimeoutMs: plan.idleTimeoutMs,
      clock: front.clock,
      ended: (over) => front.observer.tcpEnded(over),
    });
    front.observer.tcpOpened(session);
    this.#become(proxy);
    proxy.start();
  }

  #become(connection: Connection): void {
    const held = this.#held;
    this.#held = EMPTY;
    if (this.#seat.isGone) return;
    this.#seat.connection = connection;
    if (held.length > 0) connection.data(held);
    if (this.#hasEnded && !this.#seat.isGone) connection.ended();
  }

  #refuse(fault: ConnectionFault): void {
    this.#held = EMPTY;
    this.#desk.front.observer.connectionRefused(this.#downstream.direction, fault);
    this.#seat.transport.terminate();
  }
}

function faultOf(reason: string): ConnectionFault {
  return reason === "no client certificate" ? "tls_no_certificate" : "tls_error";
}

/** The addresses that the first proxy saw. */
function proxiedDownstream(downstream: Downstream, proxied: Proxied): Downstream {
  const { sourceIp, sourcePort, destinationIp, destinationPort } = proxied;
  return {
    ...downstream,
    remoteIp: sourceIp,
    remoteAddress: renderAddress(sourceIp, sourcePort),
    localAddress: renderAddress(destinationIp, destinationPort),
  };
}
