// The upstream of the soak: it answers HTTP/1.1, answers at length, takes uploads, breaks off where it is asked to, and sends
// back what comes on a connection that begins as an echo or becomes a WebSocket.
import type { Socket } from "bun";

/** Bytes of a long reply: more than sockets hold. */
export const LONG_REPLY_BYTES: number = 1024 * 1024;

/** What a connection begins with that wants its bytes back: no HTTP and no TLS does. */
export const ECHO_BYTE: number = 1;
const ACCEPTED = Buffer.from(
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
);

const SHORT = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${"x".repeat(100)}`);
const LONG = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Length: ${LONG_REPLY_BYTES}\r\n\r\n${"y".repeat(LONG_REPLY_BYTES)}`,
);
/** A reply that does not come to its end. */
const BROKEN = LONG.subarray(0, 100_000);

interface Visit {
  head: string;
  path: string;
  missingBytes: number;
  unsent: Buffer | undefined;
  isEcho: boolean;
  /** The other side has ended. */
  isEnding: boolean;
}

/** Listens on a port of its own. */
export function startSoakUpstream(): Disposable & { readonly port: number } {
  const listener = Bun.listen<Visit>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open: (socket) => {
        socket.data = { head: "", path: "", missingBytes: 0, unsent: undefined, isEcho: false, isEnding: false };
      },
      data: take,
      drain: (socket) => {
        if (socket.data.unsent !== undefined) send(socket, socket.data.unsent);
        if (socket.data.isEnding && socket.data.unsent === undefined) socket.end();
      },
      end: (socket) => {
        socket.data.isEnding = true;
        if (socket.data.unsent === undefined) socket.end();
      },
    },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

/** One request at a time on a connection, bodies by `content-length`. */
function take(socket: Socket<Visit>, chunk: Buffer): void {
  const visit = socket.data;
  if (visit.isEcho || (visit.head === "" && visit.missingBytes === 0 && chunk[0] === ECHO_BYTE)) {
    visit.isEcho = true;
    send(socket, visit.unsent === undefined ? Buffer.from(chunk) : Buffer.concat([visit.unsent, chunk]));
    return;
  }
  if (visit.missingBytes > 0) {
    visit.missingBytes -= chunk.length;
  } else {
    const before = visit.head.length;
    visit.head += chunk.latin1Slice(0, Math.min(chunk.length, 16 * 1024));
    const end = visit.head.indexOf("\r\n\r\n");
    if (end < 0) return;
    visit.path = visit.head.split(" ", 2)[1] ?? "";
    const length = Number(/\r\ncontent-length: *(\d+)/iu.exec(visit.head.slice(0, end))?.[1] ?? 0);
    visit.missingBytes = length - (before + chunk.length - end - 4);
    visit.head = "";
  }
  if (visit.missingBytes > 0) return;
  if (visit.path === "/ws") {
    visit.isEcho = true;
    send(socket, ACCEPTED);
  } else if (visit.path === "/reset") {
    socket.write(BROKEN);
    socket.terminate();
  } else {
    send(socket, visit.path === "/long" ? LONG : SHORT);
  }
}

function send(socket: Socket<Visit>, bytes: Buffer): void {
  const written = Math.max(socket.write(bytes), 0);
  socket.data.unsent = written < bytes.length ? bytes.subarray(written) : undefined;
}
