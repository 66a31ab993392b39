// A connection arrives. Listeners know sockets and addresses; what speaks on them is given in.
import type { Transport } from "../codec/socket-writer.ts";
import type { Direction, Downstream } from "../exchange/exchange.ts";

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
  readonly direction: Direction;
  /** Connections open at once; one more is closed at once. Read for each, since a new generation may change it. */
  readonly connectionsMax: () => number;
  readonly accept: (transport: Transport, downstream: Downstream) => Connection;
  readonly opened: () => void;
  readonly closed: () => void;
}

/** A listening port. */
export interface RunningListener {
  readonly direction: Direction;
  readonly hostname: string;
  readonly port: number;
  readonly connections: ReadonlySet<Connection>;
  /** No new connections; those that are open go on. */
  stopAccepting(): void;
  sweep(nowMs: number): void;
  /** Closes every connection at once. */
  kill(): void;
}

interface Slot {
  connection: Connection | undefined;
}

/** Opens a port. Throws with the system's code (`EADDRINUSE`) where it cannot. */
export function startListener(options: ListenerOptions): RunningListener {
  const connections = new Set<Connection>();
  const sockets = new Set<Bun.Socket<Slot>>();
  const server = Bun.listen<Slot>({
    hostname: options.hostname,
    port: options.port,
    // Bun does not document that it takes a descriptor.
    ...(options.fd === undefined ? {} : { fd: options.fd }),
    // Otherwise Bun answers FIN with FIN, and a tunnel could not half-close.
    allowHalfOpen: true,
    socket: {
      binaryType: "buffer",
      open(socket) {
        socket.data = { connection: undefined };
        if (connections.size >= options.connectionsMax()) {
          socket.terminate();
          return;
        }
        socket.setNoDelay(true);
        const connection = options.accept(socket, readAddresses(socket, options.direction));
        socket.data.connection = connection;
        connections.add(connection);
        sockets.add(socket);
        options.opened();
      },
      data(socket, chunk) {
        socket.data.connection?.data(chunk);
      },
      drain(socket) {
        socket.data.connection?.drained();
      },
      end(socket) {
        const { connection } = socket.data;
        if (connection === undefined) socket.end();
        else connection.ended();
      },
      close(socket, error) {
        const { connection } = socket.data;
        if (connection === undefined) return;
        socket.data.connection = undefined;
        connections.delete(connection);
        sockets.delete(socket);
        options.closed();
        connection.closed(error !== undefined && error !== null);
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
    connections,
    stopAccepting: () => server.stop(false),
    sweep: (nowMs) => {
      for (const connection of connections) connection.sweep(nowMs);
    },
    kill: () => {
      for (const socket of sockets) socket.terminate();
    },
  };
}

function readAddresses(socket: Bun.Socket<Slot>, direction: Direction): Downstream {
  return {
    direction,
    remoteIp: socket.remoteAddress,
    remoteAddress: `${bracket(socket.remoteAddress)}:${socket.remotePort}`,
    localAddress: `${bracket(socket.localAddress)}:${socket.localPort}`,
    localPort: socket.localPort,
  };
}

function bracket(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
