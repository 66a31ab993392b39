// Opens a connection, with TLS where the cluster asks for it. The only file of the request path that knows how upstream sockets
// come about.
import { TIMER_MAX_MS } from "../contract/duration.ts";
import { renderAddress } from "../listener/listener.ts";
import { feedChunk, freeChunk } from "../codec/chunk.ts";
import type { Transport } from "../codec/socket-writer.ts";
import type { Offer, TlsClient } from "./client-tls.ts";

/** Who owns the socket; each call carries on from the one before. */
export interface SocketOwner {
  /** The connection is open, and with TLS its peer verified. `localAddress` is `127.0.0.1:54321`, `alpn` empty for none. */
  opened(transport: Transport, localAddress: string, alpn: string): void;
  /** It will not open: `connect_timeout`, or `connect_failed` with the system's or TLS's reason. */
  refused(kind: "connect_timeout" | "connect_failed", reason: string): void;
  data(chunk: Buffer): void;
  drained(): void;
  /** The upstream sent FIN: nothing more comes, and what is written still arrives. The owner closes the socket, now or later. */
  ended(): void;
  /** The socket is gone; `isReset` where the peer or the network ended it, not a FIN. */
  closed(isReset: boolean): void;
}

/** What is agreed on a connection before it is the owner's. */
export interface Security {
  readonly tls: TlsClient | undefined;
  readonly offers: Offer;
  /** Sent before anything else, TLS included: a PROXY protocol header. */
  readonly preamble?: Buffer | undefined;
  /** One of our addresses, to open it from. */
  readonly sourceAddress?: string | undefined;
}

const PLAIN: Security = { tls: undefined, offers: "http1" };

/** Connects to an address or a host name; after `timeoutMs` (0 is no bound, handshake included) it is refused. */
export function connect(
  hostname: string,
  port: number,
  timeoutMs: number,
  owner: SocketOwner,
  security: Security = PLAIN,
): void {
  const { tls, offers, preamble, sourceAddress } = security;
  const pending: Pending = {
    owner,
    tls,
    offers,
    preamble,
    socket: undefined,
    isSettled: false,
    isOpen: false,
    isUpgraded: false,
    timer: undefined,
  };
  if (timeoutMs > 0) pending.timer = setTimeout(timedOut, Math.min(timeoutMs, TIMER_MAX_MS), pending, timeoutMs);
  // TLS from the start, unless something goes before it.
  const secure = tls === undefined || preamble !== undefined ? {} : { tls: tlsOptions(tls, offers) };
  // Bun does not document that it takes one.
  const source = sourceAddress === undefined ? {} : { localAddress: sourceAddress };
  // The handlers tell of a failure too; the promise's rejection would be told twice.
  // Half-open, or Bun would answer FIN with FIN and a tunnel could not half-close.
  Bun.connect<Pending>({
    hostname,
    port,
    allowHalfOpen: true,
    data: pending,
    socket: HANDLERS,
    ...secure,
    ...source,
  }).catch((error: unknown) => settle(pending, "connect_failed", reasonOf(error)));
}

function timedOut(pending: Pending, timeoutMs: number): void {
  settle(pending, "connect_timeout", `no connection within ${timeoutMs} ms`);
  // It may be open and wait for a server that does not shake hands.
  pending.socket?.terminate();
}

interface Pending {
  readonly owner: SocketOwner;
  readonly tls: TlsClient | undefined;
  readonly offers: Offer;
  readonly preamble: Buffer | undefined;
  /** While TLS is agreed on. */
  socket: Bun.Socket<Pending> | undefined;
  isSettled: boolean;
  /** The owner was told that it is open, so it hears of its end too. */
  isOpen: boolean;
  /** TLS was put on a socket that had begun without: what that one tells is ciphertext. */
  isUpgraded: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Bun's types know neither a context nor ALPN as bytes. The certificate is looked at in `handshake`. */
function tlsOptions(tls: TlsClient, offers: Offer): Bun.TLSOptions {
  const alpn = tls.alpn[offers];
  const options = {
    secureContext: tls.context,
    ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
    // Without a name Bun would send the address, which RFC 6066 §3 forbids.
    serverName: tls.serverName,
    requestCert: true,
    rejectUnauthorized: false,
  };
  return options;
}

const HANDLERS: Bun.SocketHandler<Pending> = {
  binaryType: "buffer",
  open(socket) {
    const pending = socket.data;
    if (pending.isSettled) {
      // It timed out before; there is no way to call a connect back.
      socket.terminate();
      return;
    }
    socket.setNoDelay(true);
    // A new socket takes some hundred bytes whole: its buffer is empty.
    if (pending.preamble !== undefined) socket.write(pending.preamble);
    if (pending.tls === undefined) {
      opened(socket, "");
      return;
    }
    pending.socket = socket;
    if (pending.preamble === undefined) return;
    pending.isUpgraded = true;
    upgrade(socket, pending.tls);
  },
  handshake(socket, isDone, error) {
    shakenHands(socket, isDone, error);
  },
  data(socket, chunk) {
    if (!socket.data.isUpgraded) feedChunk(socket.data.owner, chunk);
    else freeChunk(chunk);
  },
  drain(socket) {
    // Writable is told before the handshake too.
    if (socket.data.isOpen && !socket.data.isUpgraded) socket.data.owner.drained();
  },
  end(socket) {
    if (socket.data.isUpgraded) return;
    if (socket.data.isOpen) socket.data.owner.ended();
    else socket.end();
  },
  close(socket, error) {
    closed(socket.data, error instanceof Error);
  },
  error(socket) {
    // `close` follows; what the error says is not told to clients.
    socket.terminate();
  },
  connectError(socket, error) {
    settle(socket.data, "connect_failed", reasonOf(error));
  },
};

/** Of the TLS socket on top of one that began without. */
const UPGRADED: Bun.SocketHandler<Pending> = {
  binaryType: "buffer",
  handshake(socket, isDone, error) {
    shakenHands(socket, isDone, error);
  },
  data: (socket, chunk) => feedChunk(socket.data.owner, chunk),
  drain(socket) {
    if (socket.data.isOpen) socket.data.owner.drained();
  },
  end(socket) {
    if (socket.data.isOpen) socket.data.owner.ended();
    else socket.end();
  },
  close(socket, error) {
    closed(socket.data, error instanceof Error);
  },
  error(socket) {
    socket.terminate();
  },
};

function upgrade(socket: Bun.Socket<Pending>, tls: TlsClient): void {
  const [, secure] = socket.upgradeTLS({
    data: socket.data,
    tls: tlsOptions(tls, socket.data.offers),
    socket: UPGRADED,
  });
  socket.data.socket = secure;
}

/** Nothing of a request goes out before this. */
function shakenHands(socket: Bun.Socket<Pending>, isDone: boolean, error: Error | null): void {
  const { data: pending } = socket;
  if (pending.isSettled || pending.tls === undefined) {
    socket.terminate();
    return;
  }
  const peer: unknown = socket.getPeerCertificate();
  const hasPeer = typeof peer === "object" && peer !== null && "raw" in peer;
  const names = hasPeer && "subjectaltname" in peer ? String(peer.subjectaltname) : "";
  const refusal = hasPeer || isDone ? pending.tls.refuse(error, names) : renderTlsError(error);
  if (refusal === undefined) {
    const alpn = "alpnProtocol" in socket && typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "";
    // Istio's name for the same protocol.
    opened(socket, alpn === "istio-h2" ? "h2" : alpn);
    return;
  }
  settle(pending, "connect_failed", refusal);
  socket.terminate();
}

/** In Envoy's form. */
function renderTlsError(error: Error | null): string {
  return `TLS_error:|${error?.message ?? "no handshake"}:TLS_error_end`;
}

function opened(socket: Bun.Socket<Pending>, alpn: string): void {
  const pending = socket.data;
  pending.socket = undefined;
  pending.isSettled = true;
  pending.isOpen = true;
  clearTimeout(pending.timer);
  pending.owner.opened(socket, renderAddress(socket.localAddress, socket.localPort), alpn);
}

function closed(pending: Pending, isReset: boolean): void {
  if (!pending.isSettled) {
    settle(pending, "connect_failed", "ECONNRESET");
    return;
  }
  // One that opened after it was refused is of no concern to its owner, who has counted it out already.
  if (!pending.isOpen) return;
  // Of two sockets on one connection both tell.
  pending.isOpen = false;
  pending.owner.closed(isReset);
}

function settle(pending: Pending, kind: "connect_timeout" | "connect_failed", reason: string): void {
  if (pending.isSettled) return;
  pending.isSettled = true;
  clearTimeout(pending.timer);
  pending.owner.refused(kind, reason);
}

function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
