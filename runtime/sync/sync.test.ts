// The proxy's side against a real WebSocket server that behaves, misbehaves, or is not there.
import { describe, expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import type { ServerWebSocket } from "bun";
import { makeTempFolder, type TempFolder } from "../../test/harness/temp-folder.ts";
import { until } from "../../test/harness/until.ts";
import { Digest, type BundleFile } from "../contract/bundle.ts";
import type { Problem } from "../contract/problem.ts";
import { PUSH_PATH } from "../contract/protocol.ts";
import { parseSnapshot, type Snapshot, type Version } from "../contract/snapshot.ts";
import { versionOf } from "../contract/version.ts";
import { LAST_GOOD_FILE } from "./last-good.ts";
import { startSync, type ApplySnapshot, type Sync } from "./sync.ts";

interface FakeControl extends AsyncDisposable {
  readonly url: string;
  /** What proxies said, in order. */
  readonly heard: { kind: string; version?: string; problems?: Problem[] }[];
  readonly blobs: Map<string, Uint8Array | number>;
  fetches: number;
  connections: number;
  say(message: unknown): void;
  push(snapshot: unknown, version?: string): void;
  dropAll(): void;
}

function startFakeControl(port = 0): FakeControl {
  const sockets = new Set<ServerWebSocket>();
  const say = (message: unknown) => {
    for (const socket of sockets) socket.send(typeof message === "string" ? message : JSON.stringify(message));
  };
  const fake: FakeControl = {
    url: "",
    heard: [],
    blobs: new Map(),
    fetches: 0,
    connections: 0,
    say,
    push: (snapshot, version = versionOf(snapshot)) => say({ kind: "push", version, snapshot }),
    dropAll() {
      for (const socket of sockets) socket.terminate();
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch(request, self) {
      const { pathname } = new URL(request.url);
      if (pathname === PUSH_PATH) return self.upgrade(request) ? undefined : new Response("no", { status: 400 });
      fake.fetches += 1;
      const blob = fake.blobs.get(pathname.split("/").at(-1) ?? "") ?? 404;
      return typeof blob === "number" ? new Response("no", { status: blob }) : new Response(Buffer.from(blob));
    },
    websocket: {
      open(socket) {
        fake.connections += 1;
        sockets.add(socket);
      },
      message: (_socket, data) => void fake.heard.push(JSON.parse(String(data))),
      close: (socket) => void sockets.delete(socket),
    },
  });
  return Object.assign(fake, { url: `http://127.0.0.1:${server.port}` });
}

interface TestSync extends Sync, AsyncDisposable {
  /** Services of the snapshots that were applied, in order. */
  readonly ran: string[];
  readonly warnings: string[];
}

function follow(
  control: string,
  folder: TempFolder,
  apply?: (sync: Sync, snapshot: Snapshot, version: Version) => ReturnType<ApplySnapshot>,
): TestSync {
  const ran: string[] = [];
  const warnings: string[] = [];
  const sync = startSync({
    control,
    node: { id: "reviews~1", service: "reviews", namespace: "default", labels: {} },
    stateDir: folder.file("state"),
    async applySnapshot(raw, version) {
      const snapshot = parseSnapshot(raw, "snapshot");
      if (!snapshot.ok) return snapshot.problems;
      const problems = apply === undefined ? [] : await apply(sync, snapshot.value, version);
      if (problems.length === 0) ran.push(snapshot.value.service);
      return problems;
    },
    log: { info() {}, warn: (fields, message) => void warnings.push(`${message} ${JSON.stringify(fields)}`) },
    random: () => 0,
    now: () => 0,
    timing: { reconnectMinMs: 2, reconnectMaxMs: 20, fetchRetryMs: 1, fetchTimeoutMs: 2000, connectTimeoutMs: 2000 },
  });
  return Object.assign(sync, { ran, warnings, [Symbol.asyncDispose]: () => sync.stop() });
}

const fileOf = (content: Uint8Array): BundleFile => ({
  name: "filter.core.wasm",
  digest: Digest.parse(`sha256:${new Bun.CryptoHasher("sha256").update(content).digest("hex")}`),
  sizeBytes: content.length,
});

const said = (control: FakeControl, kind: string, count = 1) =>
  until(`${count} ${kind}`, () => control.heard.filter((message) => message.kind === kind)[count - 1]);

describe("a push", () => {
  test("is applied, kept, and acknowledged; the next start runs it with control down", async () => {
    await using folder = await makeTempFolder();
    {
      await using control = startFakeControl();
      await using sync = follow(control.url, folder);
      expect(JSON.stringify(await said(control, "hello"))).toBe(
        '{"kind":"hello","protocol":1,"id":"reviews~1","service":"reviews","namespace":"default","labels":{}}',
      );
      control.push({ service: "one" });
      expect(await said(control, "ack")).toMatchObject({ version: versionOf({ service: "one" }) });
      expect(await sync.restored).toBe(false);
      expect(sync.state()).toMatchObject({ connection: { kind: "connected" }, applied: { from: "control" } });
    }
    await using sync = follow("http://127.0.0.1:1", folder);
    expect(await sync.restored).toBe(true);
    await sync.ready;
    expect(sync.ran).toEqual(["one"]);
    expect(sync.state().applied).toMatchObject({ from: "last_good", version: versionOf({ service: "one" }) });
  });

  test("that was changed on its way, or that does not parse, is refused by path; what runs stays", async () => {
    await using folder = await makeTempFolder();
    await using control = startFakeControl();
    await using sync = follow(control.url, folder);
    await said(control, "hello");
    control.push({ service: "good" });
    await said(control, "ack");
    control.push({ service: "evil" }, versionOf({ service: "good" }));
    expect(await said(control, "nack")).toMatchObject({ problems: [{ path: "version" }] });
    control.push({ service: "evil", clusters: [{ name: "a", endpoints: [{ address: "x", port: 0 }] }], more: 1 });
    const refused = await said(control, "nack", 2);
    expect(refused.problems?.map(({ path }) => path)).toEqual([
      "snapshot.clusters[0].endpoints[0].port",
      "snapshot.more",
    ]);
    expect(sync.ran).toEqual(["good"]);
    expect(sync.state()).toMatchObject({
      applied: { version: versionOf({ service: "good" }) },
      refused: { problems: refused.problems },
    });
    expect(JSON.parse(await readFile(folder.file(`state/${LAST_GOOD_FILE}`), "utf8")).snapshot).toEqual({
      service: "good",
    });
  });

  test("whose apply throws is refused, and the next one is applied", async () => {
    await using folder = await makeTempFolder();
    await using control = startFakeControl();
    await using sync = follow(control.url, folder, (_sync, { service }) => {
      if (service === "bad") throw new Error("no such engine");
      return Promise.resolve([]);
    });
    await said(control, "hello");
    control.push({ service: "bad" });
    expect(await said(control, "nack")).toMatchObject({ problems: [{ path: "snapshot" }] });
    control.push({ service: "good" });
    await said(control, "ack");
    expect(sync.ran).toEqual(["good"]);
  });

  test("is applied after the one before it, and of many that wait only the newest", async () => {
    await using folder = await makeTempFolder();
    await using control = startFakeControl();
    const gate = Promise.withResolvers<void>();
    await using sync = follow(control.url, folder, async (_sync, { service }) => {
      if (service === "1") await gate.promise;
      return [];
    });
    await said(control, "hello");
    control.push({ service: "1" });
    // The first must have been taken before the others come.
    control.push({ service: "2" });
    control.push({ service: "3" });
    gate.resolve();
    await until("the newest", () => (sync.ran.at(-1) === "3" ? true : undefined));
    await until("an answer each", () => (control.heard.length === 4 ? true : undefined));
    expect(sync.ran).not.toContain("2");
  });
});

describe("control that talks nonsense costs a reconnection, never what runs", () => {
  test.each([
    ["text that is not JSON", "hello?"],
    ["JSON that is not the protocol", { kind: "reboot" }],
    ["a push without a version", { kind: "push", snapshot: {} }],
    ["null", "null"],
    ["a refusal", { kind: "refused", problems: [{ path: "protocol", message: "is 1, must be 2" }] }],
    ["a frame beyond the bound", "x".repeat(17 * 1024 * 1024)],
  ])("%s", async (_what, nonsense) => {
    await using folder = await makeTempFolder();
    await using control = startFakeControl();
    await using sync = follow(control.url, folder);
    await said(control, "hello");
    control.push({ service: "good" });
    await said(control, "ack");
    control.say(nonsense);
    // It comes back and says what it runs.
    expect(await said(control, "hello", 2)).toMatchObject({ version: versionOf({ service: "good" }) });
    expect(sync.ran).toEqual(["good"]);
    control.push({ service: "better" });
    await said(control, "ack", 2);
  });

  test("a server that is no control, then one that is", async () => {
    await using folder = await makeTempFolder();
    const stranger = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hello") });
    const { port } = stranger;
    await using sync = follow(`http://127.0.0.1:${port}`, folder);
    await until("two failures", () => (sync.warnings.length >= 2 ? true : undefined));
    await stranger.stop(true);
    await using control = startFakeControl(port);
    await said(control, "hello");
  });

  test("connections that break are made again, for as long as it takes", async () => {
    await using folder = await makeTempFolder();
    await using control = startFakeControl();
    await using sync = follow(control.url, folder);
    for (let count = 1; count <= 5; count += 1) {
      // oxlint-disable-next-line no-await-in-loop
      await said(control, "hello", count);
      control.dropAll();
    }
    await said(control, "hello", 6);
    expect(sync.state().connection.kind).toBe("connected");
  });
});

describe("the last good snapshot", () => {
  test.each([
    ["is cut off", '{"version":"a","snap'],
    [
      "has another version than its content",
      JSON.stringify({ version: "0123456789abcdef", snapshot: { service: "x" } }),
    ],
    ["is something else", "[]"],
  ])("that %s is ignored with a line, and control is asked", async (_what, content) => {
    await using folder = await makeTempFolder();
    await Bun.write(folder.file(`state/${LAST_GOOD_FILE}`), content);
    await using control = startFakeControl();
    await using sync = follow(control.url, folder);
    expect(await sync.restored).toBe(false);
    expect(sync.warnings).toHaveLength(1);
    expect((await said(control, "hello")).version).toBeUndefined();
  });
});

describe("a bundle's file", () => {
  const bytes = Buffer.from("a module");
  const file = fileOf(bytes);

  test("is fetched once, verified and cached; the cache serves with control down", async () => {
    await using folder = await makeTempFolder();
    {
      await using control = startFakeControl();
      control.blobs.set(file.digest, bytes);
      await using sync = follow(control.url, folder);
      const both = await Promise.all([sync.fetchFile(file), sync.fetchFile(file)]);
      expect(both.map((fetched) => fetched.ok && Buffer.from(fetched.value).toString())).toEqual([
        "a module",
        "a module",
      ]);
      expect(control.fetches).toBe(1);
    }
    await using sync = follow("http://127.0.0.1:1", folder);
    expect(await sync.fetchFile(file)).toMatchObject({ ok: true });
  });

  test("that a disk has spoilt is fetched again", async () => {
    await using folder = await makeTempFolder();
    await Bun.write(folder.file(`state/blobs/${file.digest.replace(":", "-")}`), "spoilt!!");
    await using control = startFakeControl();
    control.blobs.set(file.digest, bytes);
    await using sync = follow(control.url, folder);
    expect(await sync.fetchFile(file)).toEqual({ ok: true, value: bytes });
  });

  test.each([
    ["is missing", 404, "control answered 404", 1],
    ["cannot be had just now", 503, "control answered 503", 4],
    ["was changed", Buffer.from("b module"), "does not have this digest", 4],
    ["is too long", Buffer.from("a module and more"), "is larger than the 8 bytes", 4],
    ["is cut off", Buffer.from("a mod"), "is 5 bytes, the snapshot names 8", 4],
  ])("that %s is not used, and the error says why", async (_what, blob, reason, attempts) => {
    await using folder = await makeTempFolder();
    await using control = startFakeControl();
    control.blobs.set(file.digest, blob);
    await using sync = follow(control.url, folder);
    const fetched = await sync.fetchFile(file);
    expect(fetched.ok ? "" : fetched.error).toContain(reason);
    expect(control.fetches).toBe(attempts);
    expect(await readdir(folder.file("state/blobs")).catch(() => [])).toEqual([]);
  });

  test("that a snapshot names and nobody has is refused by the snapshot's path", async () => {
    await using folder = await makeTempFolder();
    await using control = startFakeControl();
    await using sync = follow(control.url, folder, async (own, { inbound }) => {
      const source = inbound.filters[0]?.source;
      const [wanted] = source?.kind === "bundle" ? source.bundle.files : [];
      const fetched = wanted === undefined ? undefined : await own.fetchFile(wanted);
      return fetched?.ok === false ? [{ path: "snapshot.inbound.filters[0].source", message: fetched.error }] : [];
    });
    await said(control, "hello");
    const manifest = {
      name: "stamp",
      world: "vespid:filter/filter@2.0.0",
      stage: "transform",
      reads: [],
      writes: [],
      phases: ["request"],
      configSchema: {},
    };
    const bundle = { digest: file.digest, manifest, files: [file] };
    control.push({ inbound: { filters: [{ name: "stamp", stage: "transform", source: { kind: "bundle", bundle } }] } });
    expect(await said(control, "nack")).toMatchObject({ problems: [{ path: "snapshot.inbound.filters[0].source" }] });
    control.push({ service: "without" });
    await said(control, "ack");
    expect(sync.ran).toEqual(["without"]);
  });

  test("that was unused for longest goes when the cache is full", async () => {
    await using folder = await makeTempFolder();
    await using control = startFakeControl();
    const { createFileCache } = await import("./fetch-bundle.ts");
    let nowMs = 1_000_000_000_000;
    const cache = createFileCache({
      control: control.url,
      directory: folder.file("blobs"),
      timing: { fetchAttempts: 1, fetchRetryMs: 1, fetchTimeoutMs: 2000, cacheMaxBytes: 20 },
      random: () => 0,
      log: { info() {}, warn() {} },
      now: () => (nowMs += 1000),
    });
    const contents = ["aaaaaaaa", "bbbbbbbb", "cccccccc"].map((text) => Buffer.from(text));
    for (const content of contents) {
      control.blobs.set(fileOf(content).digest, content);
      // oxlint-disable-next-line no-await-in-loop
      await cache.fetchFile(fileOf(content));
    }
    expect(await readdir(folder.file("blobs"))).toHaveLength(2);
    const { fetches } = control;
    await cache.fetchFile(fileOf(contents[2] ?? bytes));
    expect(control.fetches).toBe(fetches);
  });
});
