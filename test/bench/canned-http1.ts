// An HTTP/1.1 upstream that reads each upload to its end, then answers. nginx's `return` answers first, and a proxy that
// sees an early answer does something else than it is measured for.
// Its one argument is the port; it prints `LISTENING PORT`.
import type { Socket } from "bun";

const REPLY = Buffer.from("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nstored");

/** Bytes of the body that have not come yet, and a head that has come in part. */
interface Upload {
  head: string;
  missingBytes: number;
}

/** Listens; returns the port. Requests have a `content-length`, and the next comes after the answer. */
function serveUploads(port: number): number {
  const listener = Bun.listen<Upload>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => {
        socket.data = { head: "", missingBytes: 0 };
      },
      data: takeUpload,
    },
  });
  return listener.port;
}

function takeUpload(socket: Socket<Upload>, chunk: Buffer): void {
  const upload = socket.data;
  if (upload.missingBytes > 0) {
    upload.missingBytes -= chunk.length;
  } else {
    const before = upload.head.length;
    upload.head += chunk.latin1Slice(0, Math.min(chunk.length, 16 * 1024));
    const end = upload.head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/\r\ncontent-length: *(\d+)/iu.exec(upload.head.slice(0, end))?.[1] ?? 0);
    upload.missingBytes = length - (before + chunk.length - end - 4);
    upload.head = "";
  }
  if (upload.missingBytes <= 0) socket.write(REPLY);
}

if (import.meta.main) console.log(`LISTENING ${serveUploads(Number(process.argv[2] ?? 0))}`);
