// What people put a sidecar between: curl, nginx and wrk work through it as they do without it.
import { afterAll, beforeAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import { startNginxUpstream } from "../harness/peers.ts";
import { runProgram } from "../harness/program.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const BIG_BYTES = 20 * 1024 * 1024;
const owned = new AsyncDisposableStack();
let folder: TempFolder;
let proxy: RunningProxy;
let direct: string;
let through: string;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  await Bun.write(
    folder.file("files/big.bin"),
    crypto
      .getRandomValues(new Uint8Array(64 * 1024))
      .toBase64()
      .repeat(240),
  );
  await Bun.write(folder.file("files/page.html"), "<p>page</p>\n");
  const upstream = owned.use(
    await startNginxUpstream({
      folder,
      body: "hello",
      locations: `
        client_max_body_size 64m;
        location /files/ { root ${folder.path}; }
        location /empty { return 204; }
        location /unchanged { return 304; }
        location /moved { return 302 /files/page.html; }
        location /upload/ { root ${folder.path}; dav_methods PUT; create_full_put_path on; client_body_temp_path ${folder.path}/put; }
        location /chunked/ { root ${folder.path}; rewrite ^/chunked/(.*) /files/$1 break; ssi on; ssi_types *; }`,
    }),
  );
  const accessLog = folder.file("access.log");
  proxy = owned.use(
    await startProxy({ service: "sidecar", applicationPort: upstream.port, cwd: folder.path, accessLog }),
  );
  direct = `http://127.0.0.1:${upstream.port}`;
  through = `http://127.0.0.1:${proxy.inboundPort}`;
});
afterAll(() => owned.disposeAsync());

/** Runs curl; fails where curl does. */
async function curl(...args: readonly string[]): Promise<string> {
  const run = await runProgram(["curl", "-sS", "--max-time", "20", ...args]);
  if (run.status !== 0) throw new Error(`curl ended with ${run.status}: ${run.output}`);
  return run.stdout;
}

/** Fields that are the connection's or the moment's, and those that a sidecar adds. */
const OWN_FIELDS = /^(?:date|connection|keep-alive|server|x-request-id|x-envoy-[\w-]+|via):/iu;

/** Status line and fields, as curl shows them, without those of the connection. */
async function headOf(...args: readonly string[]): Promise<readonly string[]> {
  const text = await curl("-D", "-", "-o", "/dev/null", ...args);
  return text.split("\r\n").filter((line) => line !== "" && !OWN_FIELDS.test(line));
}

describe("curl sees the same head through the sidecar", () => {
  test.each<[string, readonly string[]]>([
    ["GET", ["/files/page.html"]],
    ["HEAD", ["/files/page.html", "-I"]],
    ["204", ["/empty"]],
    ["304", ["/unchanged"]],
    ["a redirect", ["/moved"]],
    ["404", ["/files/nothing"]],
    ["a range", ["/files/big.bin", "-r", "5-9"]],
    ["HTTP/1.0", ["/files/page.html", "-0"]],
    ["a method that is refused", ["/files/page.html", "-X", "PURGE"]],
  ])("%s", async (_name, [path = "", ...args]) => {
    const seen = await headOf(...args, `${through}${path}`);
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.map(normalize)).toEqual((await headOf(...args, `${direct}${path}`)).map(normalize));
  });
});

/** A proxy answers with its own version of HTTP (RFC 9110 §6.2), and redirects name the port that was asked. */
function normalize(line: string): string {
  return line.replace(/^HTTP\/1\.[01]/u, "HTTP/1.x").replace(/127\.0\.0\.1:\d+/u, "HOST");
}

test("a large reply arrives byte for byte", async () => {
  const file = folder.file("downloaded.bin");
  await curl("-o", file, `${through}/files/big.bin`);
  expect(Bun.file(file).size).toBeGreaterThan(BIG_BYTES - 1024);
  expect(await digest(file)).toBe(await digest(folder.file("files/big.bin")));
});

test("a slow reader gets all of it, and the proxy does not hold it in memory", async () => {
  const before = await residentBytes();
  const file = folder.file("slowly.bin");
  await curl("--limit-rate", "10M", "-o", file, `${through}/files/big.bin`);
  expect(await digest(file)).toBe(await digest(folder.file("files/big.bin")));
  expect((await residentBytes()) - before).toBeLessThan(BIG_BYTES);
});

describe("a large upload arrives byte for byte", () => {
  test.each<[string, readonly string[]]>([
    ["with its length, and Expect: 100-continue", ["-H", "Expect: 100-continue"]],
    ["with its length, without Expect", ["-H", "Expect:"]],
    ["in chunks", ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"]],
  ])("%s", async (name, args) => {
    const path = `/upload/${name.replaceAll(/\W/gu, "")}.bin`;
    const source = folder.file("files/big.bin");
    const status = await curl(...args, "-T", source, "-o", "/dev/null", "-w", "%{http_code}", `${through}${path}`);
    expect(status).toBe("201");
    expect(await digest(folder.file(path.slice(1)))).toBe(await digest(source));
  });
});

test("a connection is kept: ten requests of one curl use one", async () => {
  const urls = Array.from({ length: 10 }, (_, index) => `${through}/files/page.html?${index}`);
  const opened = await curl(...urls.flatMap((url) => ["-o", "/dev/null", url]), "-w", "%{num_connects}\n");
  expect(opened.trim().split("\n")).toEqual(["1", ...Array.from({ length: 9 }, () => "0")]);
});

test("names and order of a request's fields are as they were sent", async () => {
  let seen = "";
  const upstream = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket, chunk) => {
        seen += chunk.toString("latin1");
        if (seen.endsWith("\r\n\r\n")) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      },
    },
  });
  try {
    await using own = await startProxy({ service: "order", applicationPort: upstream.port, cwd: folder.path });
    const sent = ["Host: App.Example", "X-bEta: 1", "x-ALPHA: 2", "X-bEta: 3", "Accept: */*"];
    const request = `GET /a?b=%2F HTTP/1.1\r\n${sent.join("\r\n")}\r\nConnection: close, X-Hop\r\nX-Hop: gone\r\n\r\n`;
    expect((await exchangeRaw(own.inboundPort, request)).text).toStartWith("HTTP/1.1 200 OK\r\n");
    const [line, ...fields] = seen.split("\r\n");
    expect(line).toBe("GET /a?b=%2F HTTP/1.1");
    expect(fields.filter((field) => sent.includes(field))).toEqual(sent);
    expect(seen).not.toMatch(/x-hop/iu);
  } finally {
    upstream.stop(true);
  }
});

test("an upstream that is not there is 503 with the flag UF, and its reason stays inside", async () => {
  await using own = await startProxy({ service: "away", applicationPort: 1, cwd: folder.path });
  const body = await curl("-w", "%{http_code}", `http://127.0.0.1:${own.inboundPort}/`);
  expect(body).toEndWith("503");
  expect(body).not.toMatch(/ECONNREFUSED|127\.0\.0\.1/u);
  await until("its access-log line, with the endpoint", () =>
    / 503 UF .* "127\.0\.0\.1:1" inbound\|/u.test(own.program.stdout()) ? true : undefined,
  );
});

test("every exchange is one access-log line and one count", async () => {
  await using own = await startProxy({
    service: "counted",
    applicationPort: Number(new URL(direct).port),
    cwd: folder.path,
    accessLog: folder.file("counted.log"),
  });
  const url = `http://127.0.0.1:${own.inboundPort}/files/page.html`;
  const run = await runProgram(["wrk", "-t1", "-c8", "-d1s", url]);
  const requests = Number(/(\d+) requests in/u.exec(run.output)?.[1] ?? 0);
  expect(requests).toBeGreaterThan(100);
  expect(run.output).not.toMatch(/Socket errors|Non-2xx/u);
  // wrk leaves when its time is up, with up to one request of each connection under way.
  const metrics = await until("every exchange to be counted", async () => {
    const text = await (await fetch(`${own.admin}/stats/prometheus`)).text();
    return sumOf(text, "istio_requests_total") >= requests ? text : undefined;
  });
  const counted = sumOf(metrics, "istio_requests_total");
  expect(counted - requests).toBeLessThanOrEqual(8);
  const lines = await until("every line to be written", async () => {
    const text = (await Bun.file(folder.file("counted.log")).text()).trimEnd().split("\n");
    return text.length >= counted ? text : undefined;
  });
  expect(lines.length).toBe(counted);
  expect(lines[0]).toMatch(/^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET \/files\/page\.html HTTP\/1\.1" 200 - via_upstream - /u);
});

/** Sum over a counter's label sets in Prometheus text. */
function sumOf(text: string, name: string): number {
  const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^\\n]*\\})? (\\S+)$`, "gmu"))].map(([, value]) =>
    Number(value),
  );
  return values.reduce((sum, value) => sum + value, 0);
}

async function digest(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest("hex");
}

async function residentBytes(): Promise<number> {
  const status = await Bun.file(`/proc/${proxy.program.pid}/status`).text();
  return Number(/VmRSS:\s+(\d+) kB/u.exec(status)?.[1] ?? 0) * 1024;
}
