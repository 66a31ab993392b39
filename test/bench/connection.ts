// What does a filter of connections cost its bytes?
import { connect } from "node:net";
import { join } from "node:path";
import type { ConnectionRun } from "../../runtime/chain/connection.ts";
import type { Filter } from "../../runtime/chain/filter.ts";
import { TcpSession } from "../../runtime/exchange/tcp-session.ts";
import guard from "../../filters/redis-guard/filter.ts";
import { subjectsOf, unwrap, type Subject } from "../contract/subjects.ts";
import { startServing } from "../harness/serving.ts";
import { listenTcp } from "../harness/tcp.ts";
import identity from "../fixtures/tcp-identity/filter.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question = "What does a filter of connections cost a chunk of bytes, and a command of Redis?";

const CHUNK_BYTES = 64 * 1024;
const MEGABYTE = 1_000_000;
const CLOCK = { now: () => Date.now(), monotonic: () => performance.now() };
const SET = "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$3\r\nxxx\r\n";
const ROOT = join(import.meta.dir, "../..");

/** Each engine: a chunk that passes, many commands in one, and a large value. */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  const rows: BenchRow[] = [];
  const rounds = isQuick ? 5 : 15;
  const plain = Buffer.alloc(CHUNK_BYTES, "x");
  const commands = Math.floor(CHUNK_BYTES / SET.length);
  const pipelined = Buffer.from(SET.repeat(commands));
  const identities = subjectsOf(identity, join(ROOT, "test/fixtures/tcp-identity/filter.ts"));
  const guards = subjectsOf(guard, join(ROOT, "filters/redis-guard/filter.ts"));
  for (const [index, subject] of identities.entries()) {
    const { engine } = subject;
    progress(`${engine}: identity`);
    const chunkUs = await measure(subject, plain, rounds);
    rows.push({ figure: `${engine}: identity, a chunk of 64 KB`, value: chunkUs, unit: "µs" });
    rows.push({ figure: `${engine}: identity`, value: ((chunkUs / CHUNK_BYTES) * MEGABYTE) / 1000, unit: "ms/MB" });
    const guarding = guards[index];
    if (guarding === undefined) continue;
    progress(`${engine}: redis-guard`);
    const batchUs = await measure(guarding, pipelined, rounds);
    rows.push({ figure: `${engine}: redis-guard, a pipelined SET`, value: batchUs / commands, unit: "µs" });
    const oneUs = await measure(guarding, Buffer.from(SET), rounds);
    rows.push({ figure: `${engine}: redis-guard, a SET of its own`, value: oneUs, unit: "µs" });
  }
  const totalBytes = (isQuick ? 16 : 128) * 1024 * 1024;
  for (const subject of [undefined, ...identities]) {
    const label = subject === undefined ? "no filter" : `${subject.engine}: identity`;
    progress(`${label}: through sockets`);
    // The first is a warm-up.
    const rates: number[] = [];
    for (let round = 0; round < (isQuick ? 2 : 4); round++) rates.push(await flow(subject, totalBytes));
    rows.push({
      figure: `${label}, through sockets`,
      value: median(rates.slice(1)),
      unit: "MB/s",
      note: "client, proxy and server in one process",
    });
  }
  return { name: "connection", question, rows };
}

/** Megabytes a second from a server to a client, past the filter. */
async function flow(subject: Subject | undefined, totalBytes: number): Promise<number> {
  const filter = subject === undefined ? undefined : unwrap(await subject.build());
  using server = await listenTcp((socket) => {
    socket.once("data", () => socket.end(Buffer.alloc(totalBytes, "x")));
  });
  const uses = [{ name: "identity", source: { kind: "builtin", name: "identity" }, stage: "observe" }];
  using proxy = await startServing(
    { inbound: { filters: filter === undefined ? [] : uses } },
    { address: "127.0.0.1", applicationPort: server.port },
    undefined,
    () =>
      Promise.resolve(
        filter === undefined
          ? { ok: false, problems: [{ path: "", message: "no filters here" }] }
          : { ok: true, value: filter },
      ),
  );
  const startedMs = performance.now();
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  let got = 0;
  socket.on("data", (chunk) => (got += chunk.length));
  socket.write("\u0001");
  await new Promise((resolve) => socket.once("end", resolve));
  const tookMs = performance.now() - startedMs;
  socket.destroy();
  if (got !== totalBytes) throw new Error(`got ${got} of ${totalBytes} bytes`);
  return totalBytes / MEGABYTE / (tookMs / 1000);
}

/** Microseconds of one chunk from the downstream. */
async function measure(subject: Subject, bytes: Buffer, rounds: number): Promise<number> {
  const filter = unwrap(await subject.build({ limits: { fuel: 1_000_000_000 } }));
  const connection = await begin(filter);
  const times: number[] = [];
  // As many as take a tenth of a second, by the last of those that do not count: an engine in WebAssembly is compiled well
  // only after some thirty thousand calls.
  let calls = 1;
  for (let round = -rounds; round < rounds; round++) {
    const startedMs = performance.now();
    for (let call = 0; call < calls; call++) pass(connection, bytes);
    const tookMs = performance.now() - startedMs;
    if (round >= 0) times.push((tookMs * 1000) / calls);
    else calls = Math.max(1, Math.round((calls * 100) / Math.max(tookMs, 0.1)));
  }
  filter.stop();
  return median(times);
}

async function begin(filter: Filter): Promise<ConnectionRun> {
  const session = new TcpSession(
    {
      direction: "inbound",
      remoteIp: "10.0.0.7",
      remoteAddress: "10.0.0.7:40000",
      localAddress: "10.0.0.8:6379",
      localPort: 6379,
      originalDestination: undefined,
      tls: undefined,
    },
    "",
    CLOCK,
  );
  const connection = filter.connection?.(session);
  if (connection === undefined) throw new Error("expected a filter of connections");
  await connection.begin();
  return connection;
}

function pass(connection: ConnectionRun, bytes: Buffer): void {
  const verdict = connection.chunk("downstream", bytes, false);
  if (verdict instanceof Promise || verdict.kind !== "proceed" || verdict.bytes !== "pass")
    throw new Error("expected all of it to go on");
}
