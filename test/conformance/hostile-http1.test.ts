// The promise of a proxy that frames strictly: whatever comes in, an upstream reads as many requests as we say that we
// sent it, with the methods, targets and body lengths that we say. Eight hundred hostile messages go to nginx, Node and
// Python on one persistent connection each, a request of our own after every one: what an upstream was left with of the
// one before, that request would show.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { METHODS } from "node:http";
import { connect } from "node:net";
import { hostileMessages, NEXT } from "../fixtures/hostile/corpus.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startProgram } from "../harness/program.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

const MESSAGES = hostileMessages();
const CANARY = "GET /canary HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";
/** A message that leaves the proxy waiting for the rest of a head, or of a body, is given up after so long without a byte. */
const HEAD_QUIET_MS = 100;
const LOOK_MS = 20;
const BODY_QUIET_MS = 400;
/** What the proxy must answer may take this long. */
const PATIENCE_MS = 10_000;

/** One request as one side saw it. `bytes` is its body's length, -1 where it did not become whole or nobody says. */
interface Seen {
  readonly line: string;
  readonly bytes: number;
}

/** What an upstream has said so far. */
type Log = () => readonly Seen[];

/** Sends bytes, and reads until the proxy closes or waits for more. */
function converse(proxy: ServingUnderTest, bytes: string, patienceMs = 0): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host: "127.0.0.1", port: proxy.port, noDelay: true });
  let text = "";
  let quietMs = 0;
  const look = setInterval(() => {
    quietMs += LOOK_MS;
    const isBusy = (proxy.serving.generation?.exchanges() ?? 0) > 0;
    if (quietMs > Math.max(isBusy ? BODY_QUIET_MS : HEAD_QUIET_MS, patienceMs)) finish();
  }, LOOK_MS);
  const finish = (): void => {
    clearInterval(look);
    socket.destroy();
    resolve(text);
  };
  socket.on("data", (chunk) => {
    quietMs = 0;
    text += chunk.toString("latin1");
  });
  socket.on("error", finish);
  socket.on("close", finish);
  socket.on("connect", () => socket.write(bytes, "latin1"));
  return promise;
}

function snapshotFor(port: number): unknown {
  return {
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "app" }] }] }],
      // Whatever may be allowed, is: the wider the door, the more has to hold.
      http: { upgrades: ["websocket", "tls/1.0"], hostForHttp10: "app" },
    },
    clusters: [{ name: "app", endpoints: [{ address: "127.0.0.1", port }], limits: { maxConnections: 1 } }],
  };
}

/** The requests that a proxy says it sent, and whether each went out whole. */
function claimed(proxy: ServingUnderTest, from: number): readonly (Seen & { readonly isWhole: boolean })[] {
  return proxy.ended
    .slice(from)
    .filter(({ sentMonoMs }) => sentMonoMs > 0)
    .map(({ method, path, bytesReceived, flags }) => ({
      line: `${method} ${path}`,
      bytes: bytesReceived,
      isWhole: flags === "-",
    }));
}

/** Why the two lists do not tell of the same requests; empty where they do. */
function compare(sent: ReturnType<typeof claimed>, seen: readonly Seen[]): string {
  let at = 0;
  for (const { line, bytes, isWhole } of sent) {
    const read = seen[at];
    // Node reads one request, and answers 400 as it does not know the method.
    if (read?.line === "BAD HPE_INVALID_METHOD" && !METHODS.includes(line.split(" ")[0] ?? "")) {
      at++;
      continue;
    }
    // One that was given up half way may not have been read.
    if (!isWhole && read?.line !== line) continue;
    if (read?.line !== line) return `sent ${JSON.stringify(line)}, read ${JSON.stringify(read?.line)}`;
    if (isWhole && read.bytes >= 0 && read.bytes !== bytes) return `${line}: sent ${bytes} bytes, read ${read.bytes}`;
    at++;
  }
  return at === seen.length ? "" : `read ${JSON.stringify(seen[at]?.line)}, which was not sent`;
}

/** Sends every message; what was read otherwise than it was sent. */
async function disagreements(port: number, log: Log) {
  using proxy = await startServing(snapshotFor(port));
  const found: string[] = [];
  let sentCount = 0;
  let refusedCount = 0;
  for (const { name, bytes } of MESSAGES) {
    const endedBefore = proxy.ended.length;
    const seenBefore = log().length;
    const reply = await converse(proxy, bytes + NEXT);
    const canary = await converse(proxy, CANARY, PATIENCE_MS);
    const read = await until(`the canary after ${name}`, () => {
      const all = log();
      return all.at(-1)?.line === "GET /canary" && all.length > seenBefore ? all.slice(seenBefore) : undefined;
    }).catch(() => log().slice(seenBefore));
    const sent = claimed(proxy, endedBefore);
    const problem = compare(sent, read);
    if (problem !== "") found.push(`${name}: ${problem}`);
    if (!canary.startsWith("HTTP/1.1 200")) found.push(`${name}: the next request got ${canary.slice(0, 30)}`);
    if (sent.length > 1) sentCount++;
    if (/^HTTP\/1\.1 4(?:00|04|08|13|17|31) /u.test(reply)) refusedCount++;
  }
  return { found, sentCount, refusedCount };
}

/** `R METHOD TARGET`, `B BYTES` and `BAD …` lines. */
function readLog(output: string): readonly Seen[] {
  const seen: { line: string; bytes: number }[] = [];
  for (const line of output.split("\n")) {
    const last = seen.at(-1);
    if (line.startsWith("R ")) seen.push({ line: line.slice(2), bytes: -1 });
    else if (line.startsWith("B ") && last !== undefined) last.bytes = Number(line.slice(2));
    else if (line.startsWith("BAD")) seen.push({ line, bytes: -1 });
  }
  return seen;
}

function check({ found, sentCount, refusedCount }: Awaited<ReturnType<typeof disagreements>>): void {
  expect(found).toEqual([]);
  // The promise is empty where nothing passes, or nothing is refused.
  expect(sentCount).toBeGreaterThan(100);
  expect(refusedCount).toBeGreaterThan(400);
}

test("there are at least four hundred of them, no two alike", () => {
  expect(new Set(MESSAGES.map(({ bytes }) => bytes)).size).toBeGreaterThan(400);
});

test.concurrent.each([
  ["Node", ["node", "test/fixtures/hostile/upstream.cjs"]],
  ["Python", ["python3", "test/fixtures/hostile/upstream.py"]],
])("%s reads the requests that we say", async (_, command) => {
  await using upstream = startProgram(command);
  const [, port = "0"] = await upstream.printed(/listening on (\d+)/u);
  check(await disagreements(Number(port), () => readLog(upstream.stdout())));
});

test.concurrent("nginx reads the requests that we say", async () => {
  await using folder = await makeTempFolder();
  const file = folder.file("requests.log");
  await using upstream = await startNginxUpstream({
    folder,
    body: "fine",
    locations: `access_log ${file} combined;`,
  });
  const before = readFileSync(file, "latin1").length;
  check(
    await disagreements(upstream.port, () =>
      readFileSync(file, "latin1")
        .slice(before)
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => ({ line: /"(\S+ \S+) HTTP/u.exec(line)?.[1] ?? line, bytes: -1 })),
    ),
  );
});
