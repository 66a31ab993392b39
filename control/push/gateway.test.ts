// The gateway over real sockets: what a proxy sees, and what control shows of it.
import { describe, expect, test } from "bun:test";
import { PUSH_PATH, type ProxyMessage } from "../../runtime/contract/protocol.ts";
import { Version } from "../../runtime/contract/snapshot.ts";
import { until } from "../../test/harness/until.ts";
import { createGateway, type Gateway, type GatewayTiming, type Peer } from "./gateway.ts";

const quiet = { info() {}, warn() {} };

interface World extends AsyncDisposable {
  readonly gateway: Gateway;
  /** What every proxy should run from now on; `undefined`: there is no snapshot. */
  want(version: string | undefined): void;
  connect(): Promise<TestProxy>;
}

interface TestProxy {
  /** Versions that it was pushed, and the reason where it was refused. */
  readonly got: string[];
  readonly closed: Promise<CloseEvent>;
  say(message: unknown): void;
}

/** `compileMs`: how long making one publication blocks. */
function startGateway(timing: Partial<GatewayTiming> = {}, compileMs = 0): World {
  let wanted: string | undefined = "v1";
  const gateway = createGateway({
    told: () => undefined,
    publicationFor: () => {
      Bun.sleepSync(compileMs);
      if (wanted === undefined) return { ok: false, problems: [{ path: "clusters", message: "is wrong" }] };
      const version = Version.parse(wanted);
      return { ok: true, value: { version, message: JSON.stringify({ kind: "push", version, snapshot: {} }) } };
    },
    timing,
    log: quiet,
    now: () => 0,
  });
  const server = Bun.serve<Peer>({
    hostname: "127.0.0.1",
    port: 0,
    websocket: gateway.handler,
    fetch(request, self) {
      const data: Peer = { proxy: undefined, helloTimer: undefined };
      return self.upgrade(request, { data }) ? undefined : new Response(undefined, { status: 400 });
    },
  });
  return {
    gateway,
    want(version) {
      wanted = version;
      gateway.publish();
    },
    connect: () => openProxy(`ws://127.0.0.1:${server.port}${PUSH_PATH}`),
    async [Symbol.asyncDispose]() {
      gateway.stop();
      await server.stop(true);
    },
  };
}

async function openProxy(url: string): Promise<TestProxy> {
  const socket = new WebSocket(url);
  const got: string[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<CloseEvent>();
  socket.addEventListener("close", resolve);
  socket.addEventListener("message", ({ data }) => {
    const { kind, version = "", problems } = JSON.parse(String(data));
    got.push(kind === "push" ? version : `refused: ${problems[0].path} ${problems[0].message}`);
  });
  await new Promise((open) => socket.addEventListener("open", open));
  return {
    got,
    closed,
    say: (message) => socket.send(typeof message === "string" ? message : JSON.stringify(message)),
  };
}

const hello = (id = "a~1", version?: string): ProxyMessage => ({
  kind: "hello",
  protocol: 1,
  id,
  service: "a",
  namespace: "default",
  labels: {},
  ...(version === undefined ? {} : { version: Version.parse(version) }),
});
const ack = (version: string) => ({ kind: "ack", version });
const nack = (version: string) => ({ kind: "nack", version, problems: [{ path: "x", message: "no" }] });
const statuses = (gateway: Gateway) => gateway.proxies().map(({ id, status, version }) => `${id} ${status} ${version}`);
const shows = (gateway: Gateway, ...wanted: readonly string[]) =>
  until(wanted.join(", "), () => (statuses(gateway).join() === wanted.join() ? true : undefined));

test("a proxy is pushed what it should run at once, and later versions merge while it has not answered", async () => {
  await using world = startGateway();
  const proxy = await world.connect();
  proxy.say(hello());
  await until("the first push", () => proxy.got[0]);
  for (const version of ["v2", "v3", "v4"]) world.want(version);
  expect(statuses(world.gateway)).toEqual(["a~1 pushing undefined"]);
  proxy.say(ack("v1"));
  await until("the second push", () => proxy.got[1]);
  proxy.say(ack("v4"));
  await shows(world.gateway, "a~1 synced v4");
  expect(proxy.got).toEqual(["v1", "v4"]);
});

test("a proxy that runs what is wanted from its own disk is pushed nothing", async () => {
  await using world = startGateway();
  const proxy = await world.connect();
  proxy.say(hello("a~1", "v1"));
  await shows(world.gateway, "a~1 synced v1");
  world.want("v2");
  await until("the push", () => proxy.got[0]);
  expect(proxy.got).toEqual(["v2"]);
});

test("a change that waits to be published leaves nobody synced", async () => {
  await using world = startGateway();
  const proxy = await world.connect();
  proxy.say(hello("a~1", "v1"));
  await shows(world.gateway, "a~1 synced v1");
  world.gateway.changed();
  expect(statuses(world.gateway)).toEqual(["a~1 pushing v1"]);
  // It came to nothing for this proxy.
  world.want("v1");
  await shows(world.gateway, "a~1 synced v1");
  expect(proxy.got).toEqual([]);
});

test("a refused version is shown with its reason, and sent again after a wait", async () => {
  await using world = startGateway({ retryMinMs: 5 });
  const proxy = await world.connect();
  proxy.say(hello());
  await until("the push", () => proxy.got[0]);
  proxy.say(nack("v1"));
  await until("the retry", () => proxy.got[1]);
  expect(world.gateway.proxies()).toMatchObject([
    {
      status: "refused",
      version: undefined,
      refused: { version: "v1", attempts: 1, problems: [{ path: "x", message: "no" }] },
    },
  ]);
  proxy.say(ack("v1"));
  await shows(world.gateway, "a~1 synced v1");
  expect(world.gateway.proxies()[0]?.refused).toBeUndefined();
});

test("without a snapshot that could be sent, a proxy keeps what it runs and the reason is shown", async () => {
  await using world = startGateway();
  const proxy = await world.connect();
  proxy.say(hello("a~1", "v1"));
  await shows(world.gateway, "a~1 synced v1");
  world.want(undefined);
  expect(world.gateway.proxies()).toMatchObject([
    { status: "unpublishable", version: "v1", problems: [{ path: "clusters" }] },
  ]);
  world.want("v2");
  await until("the push", () => proxy.got[0]);
});

test("every proxy ends on the newest version, though compiling for each takes longer than a turn", async () => {
  await using world = startGateway({}, 15);
  const all = await Promise.all(
    ["a~1", "a~2", "a~3", "a~4"].map(async (id) => {
      const proxy = await world.connect();
      proxy.say(hello(id, "v1"));
      return proxy;
    }),
  );
  await until("four proxies", () => (world.gateway.proxies().length === 4 ? true : undefined));
  world.want("v2");
  world.want("v3");
  await until("a push each", () => (all.every(({ got }) => got.length === 1) ? true : undefined));
  for (const proxy of all) proxy.say(ack(proxy.got[0] ?? ""));
  await until("all on the newest", () => {
    const [first] = all;
    if (first?.got.length === 2) first.say(ack("v3"));
    return world.gateway.proxies().every(({ status, version }) => status === "synced" && version === "v3")
      ? true
      : undefined;
  });
});

test("a proxy that comes back takes the place of its dead connection", async () => {
  await using world = startGateway();
  const before = await world.connect();
  before.say(hello());
  await until("the push", () => before.got[0]);
  const after = await world.connect();
  after.say(hello());
  await until("the push", () => after.got[0]);
  expect((await before.closed).code).toBe(1008);
  after.say(ack("v1"));
  await shows(world.gateway, "a~1 synced v1");
});

test("a push that is never answered ends the connection", async () => {
  await using world = startGateway({ answerTimeoutMs: 5 });
  const proxy = await world.connect();
  proxy.say(hello());
  expect((await proxy.closed).reason).toBe("a push was not answered in time");
});

describe("what is not the protocol is refused by name", () => {
  test.each([
    ["not JSON", ["{"], "refused:  is not JSON"],
    ["an answer before hello", [ack("v1")], "refused:  the first message must be hello"],
    ["a hello of another protocol", [{ ...hello(), protocol: 2 }], "refused: protocol is 2, must be 1"],
    ["hello twice", [hello(), hello()], "refused:  hello came twice"],
  ])("%s", async (_what, messages, refusal) => {
    await using world = startGateway();
    const proxy = await world.connect();
    for (const message of messages) proxy.say(message);
    expect((await proxy.closed).code).toBe(1008);
    expect(proxy.got.at(-1)).toBe(refusal);
  });

  test("a message beyond the bound", async () => {
    await using world = startGateway();
    const proxy = await world.connect();
    proxy.say("x".repeat(2 * 1024 * 1024));
    expect((await proxy.closed).code).not.toBe(1000);
    await shows(world.gateway);
  });

  test("no hello in time", async () => {
    await using world = startGateway({ helloTimeoutMs: 5 });
    const proxy = await world.connect();
    expect((await proxy.closed).reason).toBe("no hello in time");
  });
});

test("connections beyond the bound are not accepted", async () => {
  await using world = startGateway({ connectionsMax: 1 });
  expect(world.gateway.accepts()).toBe(true);
  const proxy = await world.connect();
  proxy.say(hello());
  await until("the push", () => proxy.got[0]);
  expect(world.gateway.accepts()).toBe(false);
});
