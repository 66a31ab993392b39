// Opens a TCP connection. The only file of the request path that knows how upstream sockets come about.
import type { Transport } from "../codec/socket-writer.ts";

/** Who owns the socket; each call carries on from the one before. */
export interface SocketOwner {
  /** The connection is open. `localAddress` is `127.0.0.1:54321`. */
  opened(transport: Transport, localAddress: string): void;
  /** It will not open: `connect_timeout`, or `connect_failed` with the system's reason. */
  refused(kind: "connect_timeout" | "connect_failed", reason: string): void;
  data(chunk: Buffer): void;
  drained(): void;
  /** The upstream sent FIN: nothing more comes, and what is written still arrives. The owner closes the socket, now or later. */
  ended(): void;
  /** The socket is gone; `isReset` where the peer or the network ended it, not a FIN. */
  closed(isReset: boolean): void;
}

/** Connects to an address or a host name; after `timeoutMs` (0 is no bound) it is refused. */
export function connect(hostname: string, port: number, timeoutMs: number, owner: SocketOwner): void {
  const pending: Pending = { owner, isSettled: false, isOpen: false, timer: undefined };
  if (timeoutMs > 0)
    pending.timer = setTimeout(
      () => settle(pending, "connect_timeout", `no connection within ${timeoutMs} ms`),
      timeoutMs,
    );
  // The handlers tell of a failure too; the promise's rejection would be told twice.
  // Half-open, or Bun would answer FIN with FIN and a tunnel could not half-close.
  Bun.connect<Pending>({ hostname, port, allowHalfOpen: true, data: pending, socket: HANDLERS }).catch(
    (error: unknown) => settle(pending, "connect_failed", reasonOf(error)),
  );
}

interface Pending {
  readonly owner: SocketOwner;
  isSettled: boolean;
  /** The owner was told that it is open, so it hears of its end too. */
  isOpen: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
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
    pending.isSettled = true;
    pending.isOpen = true;
    clearTimeout(pending.timer);
    socket.setNoDelay(true);
    pending.owner.opened(socket, `${socket.localAddress}:${socket.localPort}`);
  },
  data(socket, chunk) {
    socket.data.owner.data(chunk);
  },
  drain(socket) {
    socket.data.owner.drained();
  },
  end(socket) {
    if (socket.data.isOpen) socket.data.owner.ended();
    else socket.end();
  },
  close(socket, error) {
    // One that opened after it was refused is of no concern to its owner, who has counted it out already.
    if (socket.data.isOpen) socket.data.owner.closed(error !== undefined && error !== null);
  },
  error(socket) {
    // `close` follows; what the error says is not told to clients.
    socket.terminate();
  },
  connectError(socket, error) {
    settle(socket.data, "connect_failed", reasonOf(error));
  },
};

function settle(pending: Pending, kind: "connect_timeout" | "connect_failed", reason: string): void {
  if (pending.isSettled) return;
  pending.isSettled = true;
  clearTimeout(pending.timer);
  pending.owner.refused(kind, reason);
}

function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
