// Filters that look at bodies, in a real sidecar before a real Node server: framing stays right whatever they do.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { startControl } from "../harness/control.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { ROOT, startProxy, type RunningProxy } from "../harness/proxy.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
let folder: TempFolder;
let proxy: RunningProxy;
/** Its filter gives up while it reads, and is let pass by its policy. */
let givingUp: RunningProxy;
let address: string;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  const upstream = owned.use(startProgram(["node", join(ROOT, "test/fixtures/bodies/upstream.cjs")]));
  const [, port = ""] = await upstream.printed(/listening on (\d+)/u);
  const control = owned.use(await startControl({ cwd: folder.path }));
  const built = await buildFilterFile(join(ROOT, "test/fixtures/bodies/filter.ts"));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const bundle = await control.push(built.value.artifact);
  proxy = owned.use(
    await startProxy({
      service: "app",
      applicationPort: Number(port),
      control: control.url,
      cwd: folder.path,
      accessLog: folder.file("access.log"),
    }),
  );
  const spec = { bundle, selector: { services: ["app"] }, limits: { bodyMaxBytes: 100_000 } };
  const use = { apiVersion: "vespid.dev/v1", kind: "Filter", metadata: { name: "bodies" }, spec };
  await control.rollOut(() => control.apply(JSON.stringify(use)));
  address = `http://127.0.0.1:${proxy.inboundPort}`;

  const source = folder.file("giving-up/filter.ts");
  await Bun.write(
    source,
    `import { defineFilter } from "vespid";
export default defineFilter({ name: "giving-up", stage: "transform", body: { request: "buffer" },
  async request(request, { sleep }) { void request.body.text(); await sleep(20); throw new Error("not today"); } });
`,
  );
  const gives = await buildFilterFile(source);
  if (!gives.ok) throw new Error(JSON.stringify(gives.problems));
  givingUp = owned.use(
    await startProxy({
      service: "open",
      applicationPort: Number(port),
      control: control.url,
      cwd: folder.path,
      accessLog: "off",
      flags: ["--state", folder.file("open-state")],
    }),
  );
  const open = {
    bundle: await control.push(gives.value.artifact),
    failurePolicy: "open",
    selector: { services: ["open"] },
  };
  await control.rollOut(() => control.apply(JSON.stringify({ ...use, metadata: { name: "giving-up" }, spec: open })));
});
afterAll(() => owned.disposeAsync());

/** curl's exit status and what it printed: the head, then the body. */
function curl(...flags: readonly string[]): Promise<{ status: number; output: string }> {
  return runProgram(["curl", "-sS", "-i", "--max-time", "20", ...flags]);
}

/** The same where there is much of it. */
async function download(...flags: readonly string[]): Promise<{ head: string; body: string }> {
  const [head, body] = [folder.file("head"), folder.file("body")];
  await runProgram(["curl", "-sS", "--max-time", "20", "-D", head, "-o", body, ...flags]);
  return { head: await Bun.file(head).text(), body: await Bun.file(body).text() };
}

describe.each([["--http1.1"], ["--http2-prior-knowledge"]])("over %s", (version) => {
  test("a body is read and replaced, and the upstream is told its new length", async () => {
    const { output } = await curl(version, "-d", '{"n":9}', `${address}/count`);
    expect(output).toContain('{"n":10}');
    expect(output).toMatch(/x-length: 8\r/iu);
  });

  test("a body without a length is read too", async () => {
    const flags = ["-H", "transfer-encoding: chunked", "-d", '{"n":99}'];
    const { output } = await curl(version, ...(version === "--http1.1" ? flags : flags.slice(2)), `${address}/count`);
    expect(output).toContain('{"n":100}');
  });

  test("one that was read and not replaced goes on as it came", async () => {
    await Bun.write(folder.file("upload"), "x".repeat(90_000));
    const { output } = await curl(version, "--data-binary", `@${folder.file("upload")}`, `${address}/length`);
    expect(output).toMatch(/x-seen: 90000\r/iu);
    expect(output).toEndWith("x".repeat(90_000));
  });

  test("one whose length was not told, and that was read, goes on whole, and the next request is the next", async () => {
    const untold = version === "--http1.1" ? "transfer-encoding: chunked" : "content-length:";
    const flags = [
      version,
      "-H",
      untold,
      "--data-binary",
      `GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n`,
      `${address}/length`,
    ];
    for (let turn = 0; turn < 3; turn++) {
      const { output } = await curl(...flags);
      expect(output).toMatch(/x-seen: \d\d\r/iu);
      expect(output).toContain("GET /smuggled");
      expect((await curl(version, "-d", '{"n":1}', `${address}/count`)).output).toContain('{"n":2}');
    }
  });

  test("one beyond the limit is answered 413, and the next request is served", async () => {
    await Bun.write(folder.file("large"), "x".repeat(300_000));
    const { output } = await curl(version, "--data-binary", `@${folder.file("large")}`, `${address}/length?large`);
    // RFC 9113 §8.1 has the server reset the stream behind an early reply, which curl 7 takes for an error.
    expect(output).toMatch(/ 413|Stream error/u);
    const log = await until("the line of a request that was too large", async () => {
      const text = await Bun.file(folder.file("access.log")).text();
      return text.split("\n").find((line) => line.includes(`/length?large ${version.slice(2, 6).toUpperCase()}`));
    });
    expect(log).toContain('" 413 ');
    expect((await curl(version, "-d", '{"n":1}', `${address}/count`)).output).toContain('{"n":2}');
  });

  test("a reply is transformed piece by piece, and framed anew", async () => {
    const { head, body } = await download(version, `${address}/upper?size=3000000`);
    expect(head).not.toMatch(/content-length/iu);
    expect(body.length).toBe(3_000_003);
    expect(body === `${"ABCDEFGHIJ".repeat(300_000)}END`).toBe(true);
  });

  test("one that only passes through the filter arrives byte for byte", async () => {
    const { body } = await download(version, `${address}/same?size=5000000`);
    expect(body.length).toBe(5_000_000);
    expect(body === "abcdefghij".repeat(500_000)).toBe(true);
  });

  test("a reply without a body is not given one", async () => {
    const { status, output } = await curl(version, "-I", `${address}/upper?size=10`);
    expect([status, output.includes(" 200")]).toEqual([0, true]);
    expect(output).not.toContain("END");
  });
});

test("a client that waits for 100 before it sends is told to go on", async () => {
  const reply = await exchangeRaw(
    proxy.inboundPort,
    'POST /count HTTP/1.1\r\nHost: app\r\nContent-Length: 7\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n{"n":1}',
  );
  expect(JSON.stringify(reply)).toContain('{\\"n\\":2}');
  const { output } = await curl(
    "-H",
    "Expect: 100-continue",
    "--expect100-timeout",
    "15",
    "-d",
    '{"n":5}',
    `${address}/count`,
  );
  expect(output).toContain("100 Continue");
  expect(output).toContain('{"n":6}');
});

test("a body that a filter gave up half read goes on whole where the filter is let pass, and the next request is the next", async () => {
  const sent = ["POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nfirst ", "second", ""];
  const chunked = [
    "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthird\r\n",
    "7\r\n fourth\r\n0\r\n\r\n",
    "GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  ];
  const socket = connect({ host: "127.0.0.1", port: givingUp.inboundPort, noDelay: true });
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString("latin1")));
  for (const piece of [...sent, ...chunked]) {
    socket.write(piece);
    // Longer than the filter reads.
    await Bun.sleep(60);
  }
  await until("the last reply", () => (text.match(/HTTP\/1\.1 200/gu)?.length === 3 ? true : undefined));
  const bodies = text.split(/HTTP\/1\.1 200[^]*?\r\n\r\n/u).slice(1);
  expect(bodies).toEqual(["first second", expect.stringContaining("third fourth"), ""]);
  const stats = await (await fetch(`${givingUp.admin}/stats/prometheus`)).text();
  expect(stats).toMatch(
    /vespid_filter_runs_total\{filter="default\/giving-up",phase="request",outcome="failed"\} [3-9]/u,
  );
});

test("a client that leaves in the middle of an upload costs nothing that stays", async () => {
  for (let turn = 0; turn < 20; turn++) {
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: proxy.inboundPort,
      socket: { data: () => undefined },
    });
    socket.write("POST /length HTTP/1.1\r\nHost: app\r\nContent-Length: 1000\r\n\r\nhalf");
    socket.flush();
    await new Promise<void>((resolve) => setImmediate(resolve));
    socket.terminate();
  }
  expect((await curl("-d", '{"n":1}', `${address}/count`)).output).toContain('{"n":2}');
});
