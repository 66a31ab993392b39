// What a filter does in live traffic, seen from outside: tailed, recorded, and played again.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { Recorded } from "../../runtime/contract/recording.ts";
import { startControl, type RunningControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startProgram, type Program } from "../harness/program.ts";
import { ROOT, startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { runVespid } from "../harness/vespid.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

const SOURCE = `import { defineFilter, reply } from "vespid";
export default defineFilter({
  name: "guard",
  stage: "authz",
  reads: [":path", ":method", "x-user", "authorization"],
  writes: ["x-user", "x-seen"],
  body: { request: "buffer" },
  async request(request, { log }) {
    log.info("asked", { path: request.path });
    if (request.path === "/fail") {
      throw new Error("line nine");
    }
    if (request.path === "/forbidden") return reply({ status: 403, body: "no" });
    request.headers.set("x-seen", request.headers.get("x-user") ?? "nobody");
    if (request.method === "POST") request.headers.set("x-user", await request.body.text());
    return undefined;
  },
});
`;

let folder: TempFolder;
let upstream: Awaited<ReturnType<typeof startNginxUpstream>>;
let control: RunningControl;
let bundle: string;
/** One process, and one of two workers. */
let proxies: readonly RunningProxy[];

beforeAll(async () => {
  folder = await makeTempFolder();
  upstream = await startNginxUpstream({ folder, body: "hello" });
  control = await startControl({ cwd: folder.path });
  await Bun.write(folder.file("guard/filter.ts"), SOURCE);
  const built = await buildFilterFile(folder.file("guard/filter.ts"));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  bundle = await control.push(built.value.artifact);
  const start = async (name: string, concurrency: number) => {
    await mkdir(folder.file(name));
    return startProxy({
      service: "app",
      applicationPort: upstream.port,
      control: control.url,
      cwd: folder.file(name),
      accessLog: folder.file(`${name}.log`),
      concurrency,
    });
  };
  proxies = [await start("alone", 1), await start("workers", 2)];
  const spec = { bundle, selector: { services: ["app"] } };
  await control.rollOut(() =>
    control.apply(JSON.stringify({ apiVersion: "vespid.dev/v1", kind: "Filter", metadata: { name: "guard" }, spec })),
  );
});

afterAll(async () => {
  for (const proxy of proxies ?? []) await proxy[Symbol.asyncDispose]();
  await control?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

function one(): RunningProxy {
  const [first] = proxies;
  if (first === undefined) throw new Error("no proxy runs");
  return first;
}

async function ask(proxy: RunningProxy, path: string, init: RequestInit = {}): Promise<number> {
  const reply = await fetch(`http://127.0.0.1:${proxy.inboundPort}${path}`, init);
  await reply.arrayBuffer();
  return reply.status;
}

function startVespid(...args: readonly string[]): Program {
  return startProgram([process.execPath, join(ROOT, "control/cli/main.ts"), "filter", ...args], {
    env: { VESPID_CONTROL: control.url, VESPID_TOKEN: control.token },
  });
}

/** Asks again and again until what is shown holds all of `texts`: a look takes a moment to reach the proxies. */
async function shown(program: Program, texts: readonly string[], again: () => Promise<unknown>): Promise<string> {
  return until(`${texts.join(", ")} to be shown, there is: ${program.output()}`, async () => {
    await again();
    const text = program.output();
    return texts.every((wanted) => text.includes(wanted)) ? text : undefined;
  });
}

test("tail shows verdicts, lines and failures of all proxies, with the author's file and line", async () => {
  await using tail = startVespid("tail", "guard");
  const text = await shown(tail, ["/fail request: failed", "/forbidden request: reply 403", "INFO asked"], async () => {
    for (const proxy of proxies) for (const path of ["/fail", "/forbidden", "/fine?token=abc"]) await ask(proxy, path);
  });
  expect(text).toMatch(/ 503 GET \/fail request: failed: .*line nine/u);
  // Line 11 of the file above throws.
  expect(text).toMatch(/filter\.ts:11:\d+/u);
  expect(text).toMatch(/ 200 GET \/fine request: proceed \(.* ms, fuel \d+\)/u);
  expect(text).not.toContain("/fine?token=abc request");
  await until("both proxies to be heard", async () => {
    for (const proxy of proxies) await ask(proxy, "/fine");
    const ids = new Set([...tail.output().matchAll(/app\.default~[^ ]+/gu)].map(([id]) => id));
    return ids.size === 2 ? true : undefined;
  });
});

test("tail of a status shows its exchanges alone", async () => {
  await using tail = startVespid("tail", "guard", "--status", "4xx", "--json");
  const text = await shown(tail, ["/forbidden"], async () => {
    for (const path of ["/fail", "/forbidden", "/fine"]) await ask(one(), path);
  });
  expect(text).not.toContain("/fail");
  expect(text).not.toContain('"/fine"');
});

test("who stops looking costs nobody anything from then on", async () => {
  const tail = startVespid("tail", "guard");
  await shown(tail, ["/fine"], () => ask(one(), "/fine"));
  await tail.stop();
  await until("control to have told the proxies", async () => {
    const another = await Promise.all(
      Array.from({ length: 32 }, () => control.request("POST", "/v1/filters/default/guard/tail", "{}")),
    );
    const statuses = another.map(({ status }) => status);
    for (const reply of another) await reply.body?.cancel();
    return statuses.every((status) => status === 200) ? true : undefined;
  });
});

test("a recording holds what the filter saw and decided, and no credential", async () => {
  const output = folder.file("guard.jsonl");
  await using record = startVespid("record", "guard", "-o", output, "--max", "8", "--redact", "ssn");
  const body = JSON.stringify({ user: "ada", password: "hunter2", ssn: "123-45", deep: [{ token: "abc" }] });
  const headers = {
    authorization: "Bearer hunter2",
    cookie: "a=hunter2",
    "x-user": "ada",
    "content-type": "application/json",
  };
  let hasEnded = false;
  void record.exited.then(() => (hasEnded = true));
  await until("eight exchanges to be recorded", async () => {
    for (const proxy of proxies) {
      await ask(proxy, "/post?api_key=hunter2&page=2", { method: "POST", body, headers });
      await ask(proxy, "/forbidden");
    }
    return hasEnded ? true : undefined;
  });
  const text = await Bun.file(output).text();
  expect(text).not.toContain("hunter2");
  expect(text).not.toContain("123-45");
  const recorded = text
    .trim()
    .split("\n")
    .map((line) => Recorded.parse(JSON.parse(line)));
  expect(recorded).toHaveLength(8);
  const post = recorded.find(({ request }) => request.method === "POST");
  expect(post?.request.path).toBe("/post?api_key=[redacted]&page=2");
  expect(post?.request.headers).toContainEqual(["Authorization", "[redacted]"]);
  expect(post?.request.body).toEqual({
    kind: "text",
    text: '{"user":"ada","password":"[redacted]","ssn":"[redacted]","deep":[{"token":"[redacted]"}]}',
  });
  expect(post?.request.decided).toMatchObject({
    verdict: "proceed",
    edits: expect.arrayContaining([{ kind: "set", name: "x-seen", value: "ada" }]),
  });
  expect(post?.attributes["source.ip"]).toBe("127.0.0.1");
  const forbidden = recorded.find(({ request }) => request.path === "/forbidden");
  expect(forbidden?.request.decided).toMatchObject({ verdict: "reply", status: 403 });
});

test("a recording is replayed by digest and by source, alike where nothing changed and told where something did", async () => {
  const output = folder.file("replayed.jsonl");
  await using record = startVespid("record", "guard", "-o", output, "--max", "4");
  let hasEnded = false;
  void record.exited.then(() => (hasEnded = true));
  await until("four exchanges to be recorded", async () => {
    await ask(one(), "/fine", { headers: { "x-user": "ada" } });
    await ask(one(), "/forbidden");
    return hasEnded ? true : undefined;
  });
  const same = await runVespid(control, ["filter", "replay", output, "--filter", bundle]);
  expect(same).toMatchObject({ code: 0, err: "4 exchanges, 0 differ\n" });
  expect(same.out).toContain("GET /forbidden request: reply 403");
  const changed = folder.file("changed/filter.ts");
  await Bun.write(changed, SOURCE.replace('"/forbidden"', '"/elsewhere"'));
  for (const how of [[], ["--native"]]) {
    const other = await runVespid(control, ["filter", "replay", output, "--filter", changed, ...how]);
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining(" differ\n") });
    expect(other.out).toContain("  request differs:\n    - reply 403\n");
    expect(other.out).toContain("    + set x-seen: nobody\n");
  }
  const against = ["filter", "replay", output, "--filter", changed, "--against", folder.file("guard/filter.ts")];
  expect(await runVespid(control, against)).toMatchObject({ code: 1 });
  const missing = await runVespid(control, ["filter", "replay", folder.file("none"), "--filter", bundle]);
  expect(missing).toMatchObject({ code: 2, err: expect.stringContaining("is not there") });
});

test("looking needs the token, wherever one asks from", async () => {
  for (const what of ["tail", "record"]) {
    const reply = await fetch(`${control.url}/v1/filters/default/guard/${what}`, { method: "POST", body: "{}" });
    expect(reply.status).toBe(401);
  }
  expect((await control.request("POST", "/v1/filters/default/none/tail", "{}")).status).toBe(404);
  expect((await control.request("POST", "/v1/filters/default/guard/tail", '{"sample":2}')).status).toBe(422);
});
