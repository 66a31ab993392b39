// One HTTP/1.1 connection of the open-loop generator: at most one request on it.
import type { Socket } from "bun";
import type { OpenLoopOptions } from "./load.ts";
import type { Client, Lane, Settle } from "./open-loop.ts";

/** Opens a connection. All replies must have `content-length` and a head that comes in one piece. */
export async function openHttp1(options: OpenLoopOptions, settle: Settle): Promise<Client> {
  const request = Buffer.from(renderRequest(options), "latin1");
  const reader = new ReplyReader();
  const lane: Lane = { dueAtMs: 0, send: () => void socket.write(request) };
  const socket: Socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: options.port,
    ...(options.isTls === true ? { tls: { rejectUnauthorized: false } } : {}),
    socket: {
      data: (_socket, chunk) => {
        if (reader.take(chunk)) settle(lane, reader.isGood);
      },
      close: () => settle(lane, false),
    },
  });
  return { lanes: [lane], flush: () => undefined, close: () => socket.terminate() };
}

class ReplyReader {
  isGood = false;
  #needBytes = 0;
  #gotBytes = 0;

  /** Takes bytes of a reply; returns whether it is whole. */
  take(chunk: Buffer): boolean {
    if (this.#needBytes === 0) {
      const headEnd = chunk.indexOf("\r\n\r\n");
      const head = chunk.latin1Slice(0, headEnd);
      const length = /\r\ncontent-length: *(\d+)/iu.exec(head)?.[1];
      this.isGood = /^HTTP\/1\.1 [123]/u.test(head) && length !== undefined;
      this.#needBytes = headEnd + 4 + Number(length ?? 0);
      this.#gotBytes = 0;
    }
    this.#gotBytes += chunk.length;
    if (this.#gotBytes < this.#needBytes) return false;
    this.#needBytes = 0;
    return true;
  }
}

function renderRequest(options: OpenLoopOptions): string {
  const fields = Object.entries({ Host: `127.0.0.1:${options.port}`, ...options.headers });
  return `GET ${options.path ?? "/"} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}
