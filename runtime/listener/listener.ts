// A connection arrives. Listeners know sockets and addresses; what speaks on them is given in, and may change: a connection
// is served by whoever holds its seat, so that telling protocols apart costs nothing once it is done.
import { feedChunk, freeChunk } from "../codec/chunk.ts";
import type { Transport } from "../codec/socket-writer.ts";
import type { Direction, Downstream } from "../exchange/exchange.ts";
import type { SecureContext } from "./secure-context.ts";
import type { ReadOriginalDestination } from "./original-dst.ts";

/** One connection's codec. */
export interface Connection {
  data(chunk: Buffer): void;
  drained(): void;
  /** The downstream sent FIN: nothing more comes, and what is written still arrives. The codec closes the socket, now or later. */
  ended(): void;
  /** The socket is gone; `isReset` where the peer or the network ended it, not a FIN. */
  closed(isReset: boolean): void;
  /** `nowMs` is monotonic. */
  sweep(nowMs: number): void;
}

export interface ListenerOptions {
  readonly hostname: string;
  /** `0` lets the system choose. */
  readonly port: number;
  /** A socket that listens there already: accepted from, and closed when accepting stops. Without it one is opened. */
  readonly fd?: number | undefined;
  /** On `::`: leaves IPv4 to a listener of its own. */
  readonly ipv6Only?: boolean | undefined;
  readonly direction: Direction;
  /** For a capture port, to which iptables redirects connections: reads where they were going. */
  readonly readOriginalDestination?: ReadOriginalDestination | undefined;
  /** Connections open at once; one more is closed at once. Read for each, since a new generation may change it. */
  readonly connectionsMax: () => number;
  /** Gives the seat to whom its first bytes go. */
  readonly accept: (seat: Seat) => void;
  readonly opened: () => void;
  readonly closed: () => void;
}

/** A listening port. */
export interface RunningListener {
  readonly direction: Direction;
  readonly hostname: string;
  readonly port: number;
  readonly connections: ReadonlySet<Seat>;
  /** No new connections; those that are open go on. */
  stopAccepting(): void;
  sweep(nowMs: number): void;
  /** Closes every connection at once. */
  kill(): void;
}

/** How TLS is ended on a connection. */
export interface Upgrade {
  readonly context: SecureContext;
  /** In wire format; empty for none. */
  readonly alpn: Buffer;
  readonly clientCertificate: "none" | "optional" | "required";
  /** The ClientHello, and whatever came with it. */
  readonly firstBytes: Buffer;
  /** Called once where the handshake succeeds; where it does not, the seat's connection is closed. */
  readonly secured: (socket: SecuredSocket) => void;
  /** The handshake failed: OpenSSL's reason. */
  readonly failed: (reason: string) => void;
}

/** What a handshake told. */
export interface SecuredSocket {
  readonly alpn: string;
  readonly version: string;
  /** The names in the client's certificate, which its roots verify, as OpenSSL writes them; `undefined` where it has shown none. */
  readonly peerNames: string | undefined;
  readonly peerCertificate: Buffer | undefined;
}

/** One accepted connection: its socket, and who serves it. */
export class Seat {
  connection: Connection | undefined = undefined;
  /** Where to write to; TLS replaces it. */
  transport: Transport;
  readonly downstream: Downstream;
  /** TLS has taken the socket over: what the plain one still tells is ciphertext. */
  isUpgraded = false;
  #isGone = false;
  #upgrade: Upgrade | undefined = undefined;
  readonly #socket: Bun.Socket<Seat>;
  readonly #onGone: (seat: Seat) => void;

  constructor(socket: Bun.Socket<Seat>, downstream: Downstream, onGone: (seat: Seat) => void) {
    this.transport = socket;
    this.#socket = socket;
    this.downstream = downstream;
    this.#onGone = onGone;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Ends TLS on the socket from here on. */
  upgrade(upgrade: Upgrade): void {
    this.isUpgraded = true;
    const { context, alpn, clientCertificate, firstBytes } = upgrade;
    this.#upgrade = upgrade;
    // Bun's types know neither a context nor bytes that were read before.
    const options = {
      data: this,
      tls: {
        secureContext: context,
        ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
        requestCert: clientCertificate !== "none",
        // With this the client is told by an alert. Whether it holds is looked at again below.
        rejectUnauthorized: clientCertificate === "required",
      },
      socket: TLS_HANDLERS,
      initialData: firstBytes,
      isServer: true,
    };
    const [, secure] = this.#socket.upgradeTLS(options);
    // A handshake that failed at once has closed it by now.
    if (!this.#isGone) this.transport = secure;
  }

  /** For the handlers: the handshake is over. */
  secured(socket: Bun.Socket<Seat>, isDone: boolean, error: Error | null): void {
    const upgrade = this.#upgrade;
    this.#upgrade = undefined;
    if (upgrade === undefined || this.#isGone) return;
    this.transport = socket;
    const { clientCertificate } = upgrade;
    const shown = clientCertificate === "none" ? undefined : readPeer(socket);
    // For a certificate that does not verify Bun says that the handshake is done, and has an error beside.
    const isVerified = error === null && socket.authorized;
    const isRefused =
      (clientCertificate === "required" && (shown === undefined || !isVerified)) ||
      (clientCertificate === "optional" && shown !== undefined && !isVerified);
    if (!isDone || isRefused) {
      upgrade.failed(isDone && shown === undefined ? "no client certificate" : (error?.message ?? "not verified"));
      socket.terminate();
      return;
    }
    upgrade.secured({
      alpn: "alpnProtocol" in socket && typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "",
      version: socket.getTLSVersion(),
      peerNames: shown?.names,
      peerCertificate: shown?.raw,
    });
  }

  /** For the handlers: the socket is gone, whichever of the two tells it first. */
  gone(isReset: boolean): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const { connection } = this;
    const upgrade = this.#upgrade;
    this.#upgrade = undefined;
    this.connection = undefined;
    this.#onGone(this);
    upgrade?.failed("closed during the handshake");
    connection?.closed(isReset);
  }
}

function readPeer(socket: Bun.Socket<Seat>): { readonly names: string; readonly raw: Buffer } | undefined {
  const peer: unknown = socket.getPeerCertificate();
  if (typeof peer !== "object" || peer === null || !("raw" in peer) || !Buffer.isBuffer(peer.raw)) return undefined;
  return { names: "subjectaltname" in peer ? String(peer.subjectaltname) : "", raw: peer.raw };
}

const TLS_HANDLERS: Bun.SocketHandler<Seat> = {
  binaryType: "buffer",
  handshake: (socket, isDone, error) => socket.data.secured(socket, isDone, error),
  data: ({ data: { connection } }, chunk) => {
    if (connection !== undefined) feedChunk(connection, chunk);
  },
  drain: (socket) => socket.data.connection?.drained(),
  end: (socket) => {
    const { connection } = socket.data;
    if (connection === undefined) socket.end();
    else connection.ended();
  },
  close: (socket, error) => socket.data.gone(error instanceof Error),
  error: (socket) => {
    socket.terminate();
  },
};

/** Opens a port. Throws with the system's code (`EADDRINUSE`) where it cannot. */
export function startListener(options: ListenerOptions): RunningListener {
  const seats = new Set<Seat>();
  function gone(seat: Seat): void {
    seats.delete(seat);
    options.closed();
  }
  const server = Bun.listen<Seat>({
    hostname: options.hostname,
    port: options.port,
    // Bun does not document that it takes a descriptor.
    ...(options.fd === undefined ? {} : { fd: options.fd }),
    ...(options.ipv6Only === true ? { ipv6Only: true } : {}),
    // Otherwise Bun answers FIN with FIN, and a tunnel could not half-close.
    allowHalfOpen: true,
    socket: {
      binaryType: "buffer",
      open(socket) {
        // Reset before it was accepted: there is nobody to name any more.
        if (!hasPeer(socket)) {
          socket.terminate();
          return;
        }
        const downstream = readAddresses(socket, options);
        // Nobody but iptables leads to an inbound capture port: there is no application to ask for (Istio's black hole).
        if (seats.size >= options.connectionsMax() || isStray(downstream, options)) {
          socket.data = new Seat(socket, downstream, () => undefined);
          socket.terminate();
          return;
        }
        socket.setNoDelay(true);
        const seat = new Seat(socket, downstream, gone);
        socket.data = seat;
        seats.add(seat);
        options.opened();
        options.accept(seat);
      },
      data({ data: seat }, chunk) {
        if (!seat.isUpgraded) {
          if (seat.connection !== undefined) feedChunk(seat.connection, chunk);
        }
        // Bun tells of ciphertext too, and there is no way to have it leave that.
        else freeChunk(chunk);
      },
      drain({ data: seat }) {
        if (!seat.isUpgraded) seat.connection?.drained();
      },
      end(socket) {
        const { data: seat } = socket;
        if (seat.isUpgraded) return;
        if (seat.connection === undefined) socket.end();
        else seat.connection.ended();
      },
      close({ data: seat }: { readonly data?: Seat }, error) {
        seat?.gone(error instanceof Error);
      },
      error(socket) {
        // `close` follows.
        socket.terminate();
      },
    },
  });
  return {
    direction: options.direction,
    hostname: options.hostname,
    // Of a descriptor Bun does not say the port.
    port: options.fd === undefined ? server.port : options.port,
    connections: seats,
    stopAccepting: () => server.stop(false),
    sweep: (nowMs) => {
      for (const { connection } of seats) connection?.sweep(nowMs);
    },
    kill: () => {
      for (const { transport } of seats) transport.terminate();
    },
  };
}

/** Bun's types know an address always. */
function hasPeer(socket: { readonly remoteAddress?: string }): boolean {
  return socket.remoteAddress !== undefined;
}

function readAddresses(socket: Bun.Socket<Seat>, options: ListenerOptions): Downstream {
  const originalDestination = options.readOriginalDestination?.(socket);
  const { ip, port } = originalDestination ?? { ip: socket.localAddress, port: socket.localPort };
  return {
    direction: options.direction,
    remoteIp: socket.remoteAddress,
    remoteAddress: renderAddress(socket.remoteAddress, socket.remotePort),
    localAddress: renderAddress(ip, port),
    localPort: port,
    originalDestination,
    tls: undefined,
  };
}

function isStray({ direction, originalDestination }: Downstream, options: ListenerOptions): boolean {
  return originalDestination === undefined && direction === "inbound" && options.readOriginalDestination !== undefined;
}

/** `127.0.0.1:80`, `[::1]:80` */
export function renderAddress(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}
