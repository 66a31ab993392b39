// A line of JSON for each exchange, on a stream of the proxy's or in a file (Mixer's stdio).
import { closeSync, fstatSync, openSync, write } from "node:fs";
import type { Parsed } from "../contract/problem.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { endedAtMs, type Backend, type BackendParts, type Instance } from "./adapter.ts";
import { Batcher, SENT, type Sent } from "./batcher.ts";

/** What a pipe takes in one piece from several writers (PIPE_BUF): lines of several workers do not mix. */
const PIPE_MAX_BYTES = 4096;

/** Lines to a stream or a file, or why it cannot be opened. */
export function buildStdout({ name, config, surroundings }: BackendParts<"stdout">): Parsed<Backend> {
  let fd: number;
  try {
    fd = config.file === undefined ? (config.stream === "stdout" ? 1 : 2) : openSync(config.file, "a");
  } catch (error) {
    const message = `cannot be opened: ${error instanceof Error ? error.message : String(error)}`;
    return { ok: false, problems: [{ path: "backend.file", message }] };
  }
  const writeMaxBytes = fstatSync(fd).isFile() ? Number.POSITIVE_INFINITY : PIPE_MAX_BYTES;
  const batcher = new Batcher<string>({
    adapter: name,
    policy: config.batch,
    sizeOf: (line) => line.length,
    send: (lines) => writeLines(fd, Buffer.from(lines.join("")), writeMaxBytes),
    schedule: surroundings.schedule,
    observer: surroundings.observer,
  });
  const backend: Backend = {
    report: { add: (instance, exchange) => batcher.add(renderLine(instance, exchange)), flush: () => batcher.flush() },
    async stop() {
      await batcher.stop();
      if (config.file !== undefined) closeSync(fd);
    },
  };
  return { ok: true, value: backend };
}

/** `{"time":"…","instance":"…",…}`; an attribute of a name goes before ours. */
export function renderLine({ name, value, attributes }: Instance, exchange: Exchange): string {
  const time = new Date(endedAtMs(exchange)).toISOString();
  return `${JSON.stringify({ time, instance: name, ...(value === undefined ? {} : { value }), ...attributes })}\n`;
}

async function writeLines(fd: number, bytes: Buffer, writeMaxBytes: number): Promise<Sent> {
  for (let offset = 0; offset < bytes.length;) {
    const end = endOfWrite(bytes, offset, writeMaxBytes);
    // In their order.
    // oxlint-disable-next-line no-await-in-loop
    const written = await writeSome(fd, bytes, offset, end);
    if (typeof written === "string") return { kind: "refused", message: written };
    offset += written;
  }
  return SENT;
}

/** After the last whole line that one write takes; a longer one is cut in two. */
function endOfWrite(bytes: Buffer, offset: number, writeMaxBytes: number): number {
  if (bytes.length - offset <= writeMaxBytes) return bytes.length;
  const end = bytes.lastIndexOf("\n", offset + writeMaxBytes - 1) + 1;
  return end > offset ? end : offset + writeMaxBytes;
}

/** Bytes that were written, or why none was. */
function writeSome(fd: number, bytes: Buffer, offset: number, end: number): Promise<number | string> {
  return new Promise((resolve) => {
    write(fd, bytes, offset, end - offset, null, (error, written) => resolve(error === null ? written : error.message));
  });
}
