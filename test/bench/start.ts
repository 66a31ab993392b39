// How fast does a sidecar start, and what does it hold in memory after 100,000 requests through a sandboxed filter?
import { startNginxUpstream } from "../harness/peers.ts";
import { freePorts } from "../harness/ports.ts";
import { startProgram } from "../harness/program.ts";
import { proxyCommand } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { median, type BenchOptions, type BenchResult } from "./result.ts";

export const question = "how fast does a sidecar start, and does its memory stay small and flat";

const START_MAX_MS = 300;
const GIVE_UP_MS = 10_000;

/** Measures both. */
export async function run(options: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "hello" });
  const startMs: number[] = [];
  for (let round = 1; round <= (options.isQuick ? 3 : 9); round++) {
    const tookMs = await timeStart(folder, upstream.port);
    options.progress(`start ${round}: ${tookMs.toFixed(0)} ms`);
    startMs.push(tookMs);
  }
  return {
    name: "start",
    question,
    rows: [
      {
        figure: "start to first reply",
        value: median(startMs),
        unit: "ms",
        limit: START_MAX_MS,
        note: `rounds: ${startMs.map((value) => value.toFixed(0)).join(" ")}`,
      },
    ],
  };
}

/** From `exec` to the first reply through the sidecar, milliseconds. */
async function timeStart(folder: TempFolder, applicationPort: number): Promise<number> {
  const [inboundPort = 0, adminPort = 0] = freePorts(2);
  const options = { service: "start", applicationPort, cwd: folder.path, accessLog: folder.file("start.log") };
  const command = proxyCommand(options, { inboundPort, adminPort });
  const startedAtMs = performance.now();
  await using program = startProgram(command, { cwd: folder.path });
  while (performance.now() - startedAtMs < GIVE_UP_MS) {
    program.assertRunning();
    if (await isAnswered(inboundPort)) return performance.now() - startedAtMs;
    await Bun.sleep(1);
  }
  throw new Error(`the sidecar did not answer:\n${program.output()}`);
}

function isAnswered(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => {
        socket.write("GET / HTTP/1.1\r\nHost: app\r\n\r\n");
      },
      data: (socket, chunk) => {
        resolve(chunk.latin1Slice(0, 12) === "HTTP/1.1 200");
        socket.terminate();
      },
      close: () => resolve(false),
    },
  }).catch(() => resolve(false));
  return promise;
}
