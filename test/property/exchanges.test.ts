// Clients and upstreams that leave, stall and lie at random moments: every exchange ends once, no client reads another's
// reply, and at rest nothing is counted as under way.
import { expect, test } from "bun:test";
import { connect } from "node:net";
import fc from "fast-check";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

/** What an upstream does with a request; `%` is the request's id. */
const ACTS = [
  "length",
  "chunked",
  "close",
  "bodiless",
  "interim",
  "trickle",
  "surplus",
  "silent",
  "fin",
  "reset",
  "half_head",
  "half_body",
  "half_chunk",
  "garbage",
  "two_lengths",
] as const;
type Act = (typeof ACTS)[number];

interface Asked {
  readonly act: Act;
  readonly method: "GET" | "POST" | "CHUNKED";
  /** Share of the body that is sent at once; below 1 the rest never comes. */
  readonly share: number;
}

interface Visitor {
  readonly asks: readonly Asked[];
  /** All at once, or each after the reply to the one before. */
  readonly pipelines: boolean;
  /** Leaves after this many milliseconds; 0 stays for every reply. */
  readonly leavesAfterMs: number;
  readonly resets: boolean;
}

const asked = fc.record<Asked>({
  act: fc.constantFrom(...ACTS),
  method: fc.constantFrom("GET", "GET", "POST", "CHUNKED"),
  share: fc.constantFrom(1, 1, 1, 0.5),
});
const visitor = fc.record<Visitor>({
  asks: fc.array(asked, { minLength: 1, maxLength: 5 }),
  pipelines: fc.boolean(),
  leavesAfterMs: fc.constantFrom(0, 0, 1, 5, 20, 60),
  resets: fc.boolean(),
});

const BODY = "b".repeat(4000);
const TIMEOUT_MS = 40;

/** Answers each request by the act that its path names. */
function startActor(): Disposable & { readonly port: number; readonly open: () => number } {
  const sockets = new Set<Bun.Socket<{ text: string }>>();
  const server = Bun.listen<{ text: string }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { text: "" };
        sockets.add(socket);
      },
      data(socket, chunk) {
        socket.data.text += chunk.toString("latin1");
        for (;;) {
          const found = /(?:GET|POST) \/(\d+)\/(\w+) HTTP\/1\.1\r\n[^]*?\r\n\r\n/u.exec(socket.data.text);
          if (found === null) return;
          socket.data.text = socket.data.text.slice(found.index + found[0].length);
          perform(socket, found[2] ?? "", found[1] ?? "");
        }
      },
      close: (socket) => void sockets.delete(socket),
    },
  });
  return { port: server.port, open: () => sockets.size, [Symbol.dispose]: () => server.stop(true) };
}

function perform(socket: Bun.Socket<{ text: string }>, act: string, id: string): void {
  const head = `HTTP/1.1 200 OK\r\nX-Id: ${id}\r\n`;
  const whole = `${head}Content-Length: 4\r\n\r\nbody`;
  switch (act) {
    case "length":
      return void socket.write(whole);
    case "chunked":
      return void socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n`);
    case "close":
      socket.write(`${head}\r\nbody`);
      return void socket.end();
    case "bodiless":
      return void socket.write(`HTTP/1.1 204 No Content\r\nX-Id: ${id}\r\n\r\n`);
    case "interim":
      return void socket.write(`HTTP/1.1 103 Early Hints\r\n\r\n${whole}`);
    case "trickle":
      socket.write(whole.slice(0, 20));
      setTimeout(() => socket.write(whole.slice(20)), 5);
      return undefined;
    case "surplus":
      return void socket.write(`${whole}HTTP/1.1 200 OK\r\nX-Id: surplus\r\nContent-Length: 0\r\n\r\n`);
    case "fin":
      return void socket.end();
    case "reset":
      return socket.terminate();
    case "half_head":
      socket.write(head);
      return void socket.end();
    case "half_body":
      socket.write(whole.slice(0, -2));
      return void socket.end();
    case "half_chunk":
      socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n9\r\nbody`);
      return socket.terminate();
    case "garbage":
      return void socket.write("ICY 200 OK\r\n\r\n");
    case "two_lengths":
      return void socket.write(`${head}Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody`);
    default:
      return undefined;
  }
}

function render({ act, method, share }: Asked, id: number): string {
  const line = `${method === "GET" ? "GET" : "POST"} /${id}/${act} HTTP/1.1\r\nHost: app\r\n`;
  if (method === "GET") return `${line}\r\n`;
  const body = method === "POST" ? BODY : `fa0\r\n${BODY}\r\n0\r\n\r\n`;
  const framing = method === "POST" ? `Content-Length: ${BODY.length}` : "Transfer-Encoding: chunked";
  return `${line}${framing}\r\n\r\n${body.slice(0, body.length * share)}`;
}

let ids = 0;

/** One client's whole life; the ids that it read replies for, beside those that it asked for. */
function visit(port: number, { asks, pipelines, leavesAfterMs, resets }: Visitor) {
  // What follows half a body would be the rest of it.
  const last = asks.findIndex(({ method, share }) => method !== "GET" && share < 1);
  const requests = (last < 0 ? asks : asks.slice(0, last + 1)).map((ask) => ({ id: ++ids, text: render(ask, ids) }));
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  let text = "";
  let sent = 0;
  const heads = (): readonly string[] => text.match(/HTTP\/1\.1 [2-5]\d{2} [^]*?\r\n\r\n/gu) ?? [];
  const leave = (): void => void (resets ? socket.resetAndDestroy() : socket.destroy());
  const next = (): void => {
    if (sent < requests.length) socket.write(requests[sent++]?.text ?? "", "latin1");
    else leave();
  };
  const timer = setTimeout(leave, leavesAfterMs === 0 ? 5 * TIMEOUT_MS : leavesAfterMs);
  socket.on("connect", () => {
    for (let count = pipelines ? requests.length : 1; count > 0; count--) next();
  });
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    if (heads().length >= sent && /(?:\r\n\r\n|body|0\r\n\r\n)$/u.test(text)) next();
  });
  socket.on("error", () => undefined);
  socket.on("close", () => {
    clearTimeout(timer);
    resolve();
  });
  return promise.then(() => ({
    asked: requests.map(({ id }) => String(id)),
    answered: heads().map((head) => /X-Id: (\w+)/u.exec(head)?.[1]),
  }));
}

function atRest(proxy: ServingUnderTest) {
  const target = proxy.serving.generation?.targets.get("app");
  const endpoint = target?.cluster.endpoints[0];
  return {
    exchanges: proxy.serving.generation?.exchanges(),
    requests: target?.cluster.activeRequests,
    endpoint: endpoint?.activeRequests,
    waiting: target?.pool.waitingRequests,
    downstream: proxy.serving.listeners[0]?.connections.size,
  };
}

const snapshotFor = (port: number, name = "app") => ({
  outbound: {
    virtualHosts: [
      { name: "all", domains: ["*"], routes: [{ timeoutMs: TIMEOUT_MS, destinations: [{ cluster: name }] }] },
    ],
  },
  clusters: [
    { name, endpoints: [{ address: "127.0.0.1", port }], limits: { maxConnections: 3, maxPendingRequests: 4 } },
  ],
});

test("every exchange ends once, with its own reply, and leaves nothing behind", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(visitor, { minLength: 1, maxLength: 12 }), async (visitors) => {
      using actor = startActor();
      using proxy = await startServing(snapshotFor(actor.port));
      const visits = await Promise.all(visitors.map((one) => visit(proxy.port, one)));
      for (const { asked: wanted, answered } of visits) {
        expect(answered.length).toBeLessThanOrEqual(wanted.length);
        answered.forEach((id, index) => expect([undefined, wanted[index]]).toContain(id));
      }
      const rest = { exchanges: 0, requests: 0, endpoint: 0, waiting: 0, downstream: 0 };
      await until("nothing is under way", () => Bun.deepEquals(atRest(proxy), rest) || undefined).catch(() =>
        expect(atRest(proxy)).toEqual(rest),
      );
      const paths = proxy.ended.map(({ path }) => path).filter((path) => path !== "-");
      expect(new Set(paths).size).toBe(paths.length);
      const pool = proxy.serving.generation?.targets.get("app")?.pool;
      await until("both ends count the same connections", () => pool?.openConnections === actor.open() || undefined);
      expect(pool?.openConnections).toBeLessThanOrEqual(3);
      await proxy.apply(snapshotFor(actor.port, "other"));
      await until("the pool is empty", () => (pool?.openConnections === 0 && actor.open() === 0) || undefined);
    }),
    { numRuns: 40, interruptAfterTimeLimit: 10_000 },
  );
}, 40_000);
