// The canned upstreams as programs of their own: never what limits a measurement.
import { join } from "node:path";
import type { CannedOptions } from "../bench/canned-http2.ts";
import type { Peer } from "./peers.ts";
import { startProgram } from "./program.ts";
import { ROOT } from "./proxy.ts";

/** Answers every HTTP/2 stream. */
export function startCannedHttp2(options: Omit<CannedOptions, "port">): Promise<Peer> {
  return startCanned("canned-http2.ts", JSON.stringify({ port: 0, ...options } satisfies CannedOptions));
}

/** Answers every HTTP/1.1 upload when it has read it. */
export function startCannedHttp1(): Promise<Peer> {
  return startCanned("canned-http1.ts", "0");
}

async function startCanned(file: string, argument: string): Promise<Peer> {
  const program = startProgram([process.execPath, join(ROOT, "test/bench", file), argument]);
  const [, port] = await program.printed(/LISTENING (\d+)/u);
  return { name: file, port: Number(port), program, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}
