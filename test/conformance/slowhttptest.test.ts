// slowhttptest: clients that send their heads or bodies byte by byte, or read replies so, in numbers. They are let go of
// within the time that is set for them, and whoever is quick is served meanwhile.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startProgram } from "../harness/program.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const CONNECTIONS = 50;
/** More than sockets hold between upstream and reader. */
const LARGE_BYTES = 16 * 1024 * 1024;
const LET_GO_AFTER = "2s";

const owned = new AsyncDisposableStack();
let proxy: RunningProxy;

beforeAll(async () => {
  const folder = owned.use(await makeTempFolder());
  const large = Buffer.alloc(LARGE_BYTES, "x");
  // It reads a body to its end before it answers.
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: async (request) => {
      await request.arrayBuffer();
      return new Response(new URL(request.url).pathname === "/large" ? large : "hello");
    },
  });
  owned.defer(() => upstream.stop(true));
  proxy = owned.use(
    await startProxy({
      service: "slow",
      applicationPort: upstream.port ?? 0,
      cwd: folder.path,
      accessLog: folder.file("access.log"),
      snapshot: () => ({
        inbound: {
          limits: {
            headTimeoutMs: LET_GO_AFTER,
            // A reader whose request was given up before its reply began has a connection without a request.
            idleTimeoutMs: LET_GO_AFTER,
            requestTimeoutMs: LET_GO_AFTER,
            streamIdleTimeoutMs: LET_GO_AFTER,
          },
        },
      }),
    }),
  );
});

afterAll(() => owned.disposeAsync());

describe.each([
  ["heads", ["-H"], "/"],
  ["bodies", ["-B"], "/"],
  // A window of 1 to 2 bytes, and 1 byte read every 10 s.
  ["readers", ["-X", "-w", "1", "-y", "2", "-n", "10", "-z", "1"], "/large"],
])("slow %s", (_kind, mode, path) => {
  test("are let go of in time, and others are served meanwhile", async () => {
    const url = `http://127.0.0.1:${proxy.inboundPort}${path}`;
    // A byte or a field each second, for 30 s at most: it ends sooner when all its connections were closed.
    const shape = ["-c", String(CONNECTIONS), "-r", "100", "-i", "1", "-x", "10", "-l", "30", "-p", "3"];
    await using slow = startProgram(["slowhttptest", ...mode, ...shape, "-u", url]);
    await until("its connections to be open", async () =>
      (await activeConnections()) >= CONNECTIONS / 2 ? true : undefined,
    );
    const reply = await fetch(`http://127.0.0.1:${proxy.inboundPort}/`);
    expect([reply.status, await reply.text()]).toEqual([200, "hello"]);
    await until(
      "every slow connection to be closed",
      async () => ((await activeConnections()) <= 2 ? true : undefined),
      20_000,
    );
    await slow.stop();
  });
});

/** Connections from downstream that the proxy has open, as it counts them. */
async function activeConnections(): Promise<number> {
  const text = await (await fetch(`${proxy.admin}/stats/prometheus`, { headers: { connection: "close" } })).text();
  const count = /^envoy_http_downstream_cx_active\{direction="inbound"\} (\d+)$/mu.exec(text)?.[1];
  return Number(count ?? Number.NaN);
}
