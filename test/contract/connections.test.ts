// One contract over every engine for filters of connections: real sockets on both sides, the same results.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Filter } from "../../runtime/chain/filter.ts";
import type { DeclareMetrics } from "../../runtime/chain/meter.ts";
import isolated from "../fixtures/tcp-isolated/filter.ts";
import probe from "../fixtures/tcp-probe/filter.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { dialTcp, listenTcp, type TcpServer } from "../harness/tcp.ts";
import { until } from "../harness/until.ts";
import { subjectsOf, unwrap, type Subject, type UseInit } from "./subjects.ts";

// The first test of an engine builds the filter.
setDefaultTimeout(60_000);

/** A filter between a client and two servers that echo, each with its own mark. */
interface Stand extends AsyncDisposable {
  readonly port: number;
  readonly proxy: ServingUnderTest;
  readonly logs: { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[];
  readonly metrics: string[];
  readonly upstream: TcpServer;
}

const UPSTREAMS = {
  other: { cluster: "other", timeoutMs: 1000 },
  authz: { cluster: "authz", timeoutMs: 1000 },
};

async function stand(subject: Subject, config: Readonly<Record<string, unknown>>, init: UseInit = {}): Promise<Stand> {
  const logs: Stand["logs"] = [];
  const metrics: string[] = [];
  const declareMetrics: DeclareMetrics = () => ({
    ok: true,
    value: { record: (name, value, labels) => metrics.push(`${name}{${labels.join()}} ${value}`) },
  });
  const [db, other] = [await listenTcp(echo("")), await listenTcp(echo("other "))];
  const build = () =>
    subject.build(
      { config, upstreams: UPSTREAMS, ...init },
      {
        schedule: (run, afterMs) => {
          const timer = setTimeout(run, afterMs);
          return () => clearTimeout(timer);
        },
        log: (_, message, fields) => logs.push({ message, fields }),
        callout: () => Promise.resolve({ ok: true, value: { status: 204, headers: [], body: new Uint8Array() } }),
        declareMetrics,
      },
    );
  // Built once, so that a test sees problems here; a snapshot names some filter, whatever it is.
  const filter: Filter = unwrap(await build());
  const proxy = await startServing(
    {
      clusters: [
        { name: "db", endpoints: [{ address: "127.0.0.1", port: db.port }] },
        { name: "other", endpoints: [{ address: "127.0.0.1", port: other.port }] },
      ],
      outbound: {
        tcpRoutes: [{ name: "all", destinations: [{ cluster: "db" }] }],
        filters: [{ name: "probe", source: { kind: "builtin", name: "tcp-probe" }, stage: "transform" }],
        protocolDetectionTimeoutMs: 50,
      },
    },
    undefined,
    undefined,
    () => Promise.resolve({ ok: true, value: filter }),
  );
  return {
    port: proxy.port,
    proxy,
    logs,
    metrics,
    upstream: db,
    [Symbol.asyncDispose]: () => {
      proxy[Symbol.dispose]();
      db[Symbol.dispose]();
      other[Symbol.dispose]();
      filter.stop();
      return Promise.resolve();
    },
  };
}

/** Sends each line back, with a mark before it. */
function echo(mark: string): Parameters<typeof listenTcp>[0] {
  return (socket) => {
    let held = "";
    socket.on("data", (chunk) => {
      const all = (held + chunk.toString("latin1")).split("\n");
      held = all.pop() ?? "";
      for (const line of all) socket.write(`${mark}${line}\n`, "latin1");
    });
    socket.on("end", () => socket.end(held === "" ? "" : `${mark}${held}`, "latin1"));
  };
}

/** What comes back for these bytes, whose end is sent when `last` has come back, and how the session ended. */
async function exchange(on: Stand, pieces: readonly string[], last = "") {
  const client = dialTcp(on.port);
  const before = on.proxy.sessions.length;
  for (const piece of pieces) {
    await new Promise((resolve) => client.socket.write(Buffer.from(piece, "latin1"), resolve));
    // Pieces of their own, as far as loopback keeps them apart: the proxy turns in this process.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(`${last} to come back`, () => (client.text.includes(last) ? true : undefined));
  client.socket.end();
  await until("the connection to close", () => (client.isEnded || client.error !== "" ? true : undefined));
  const session = await until("the session to end", () => on.proxy.sessions[before]);
  return { text: client.text, error: client.error, session };
}

/** What `read` settles to: somebody is held. */
function unchanged(what: string, read: () => number): Promise<number> {
  let last = -1;
  let polls = 0;
  return until(`${what} to stay as it is`, () => {
    const now = read();
    polls = now === last ? polls + 1 : 0;
    last = now;
    return polls > 20 ? now : undefined;
  });
}

const PATH = join(import.meta.dir, "../fixtures/tcp-probe/filter.ts");
const SUBJECTS = subjectsOf(probe, PATH).map((subject) => [subject.engine, subject] as const);

/** Lines that the filter itself says: the server's may come before or after. */
const OWN: ReadonlySet<string> = new Set(["d", "down"]);

const SANDBOXES = SUBJECTS.filter(([engine]) => engine !== "native");

describe.each(SANDBOXES)("a filter of connections in engine %s", (_, subject) => {
  test("that never ends costs its instance, and the next one serves", async () => {
    await using on = await stand(subject, {}, { limits: { fuel: 2_000_000 } });
    const other = dialTcp(on.port);
    other.socket.write("a\n");
    await until("another connection's echo", () => (other.text === "a\n" ? true : undefined));
    expect((await exchange(on, ["loop\n"])).session).toMatchObject({ flags: "LR" });
    expect((await exchange(on, ["a\n"])).text).toBe("a\n");
    // What the filter knew of it went with the instance: nothing of it passes unseen.
    other.socket.write("drop b\n");
    await until("the other connection's end", () => (other.error === "ECONNRESET" ? true : undefined));
    expect(other.text).toBe("a\n");
  });
});

describe.each(SUBJECTS)("a filter of connections in engine %s", (_, subject) => {
  test("lets lines pass, drops, replaces and answers them, in order", async () => {
    await using on = await stand(subject, {});
    const asked = ["a", "drop b", "swap c", "answer d", "both", "secret?", "e", "ping"].map((line) => `${line}\n`);
    // `ping` comes back from the server, is answered to it, and that comes back.
    const expected = ["a", "c", "up", "both", "******", "e", "pong"];
    for (const pieces of [[asked.join("")], asked, asked.join("").split("")]) {
      const { text, session } = await exchange(on, pieces, "pong\n");
      const got = text.split("\n").filter((line) => line !== "");
      expect(got.filter((line) => OWN.has(line))).toEqual([...OWN]);
      expect(got.filter((line) => !OWN.has(line))).toEqual(expected);
      expect(session).toMatchObject({ flags: "-", bytesReceived: asked.join("").length, bytesSent: text.length });
    }
    expect(on.metrics.filter((line) => line === "lines_total{drop} 1")).toHaveLength(3);
  });

  test("sees what it declared, at the beginning and at the end, and leaves values", async () => {
    await using on = await stand(subject, {});
    await exchange(on, ["a\nmark 7\nb\n"]);
    await until("its end", () => (on.logs.length > 1 ? true : undefined));
    const [open, over] = on.logs;
    expect(open).toMatchObject({ message: "open", fields: { ip: "127.0.0.1", port: String(on.port) } });
    expect(open?.fields).toMatchObject({ direction: "outbound" });
    expect(open?.fields["size"]).toBeUndefined();
    expect(over).toMatchObject({
      message: "over",
      fields: { seen: 3, received: "11", sent: "11", flags: "-", mark: "7" },
    });
  });

  test("a side's end passes, with what it cut", async () => {
    await using on = await stand(subject, {});
    expect((await exchange(on, ["a\nb"])).text).toBe("a\nb");
    expect((await exchange(on, ["swap a"])).text).toBe("a\n");
    expect((await exchange(on, ["answer a"])).text).toBe("a\n");
  });

  test("that waits holds both sides, and what comes later comes later", async () => {
    await using on = await stand(subject, {});
    expect((await exchange(on, ["slow\na\nfetch\nb\n"])).text).toBe("slow\na\n204\nb\n");
    expect((await exchange(on, ["slow\n", "a\n", "slow\n", "b\n"])).text).toBe("slow\na\nslow\nb\n");
  });

  test("may start operations anew in each call, and no more than its limit in one", async () => {
    await using on = await stand(subject, {}, { limits: { operationsMax: 4 } });
    expect((await exchange(on, ["fetch-many 3\n", "fetch-many 4\n"])).text).toBe("all\nall\n");
    expect((await exchange(on, ["fetch-many 5\n"])).session).toMatchObject({ flags: "LR" });
  });

  test("ends a connection in order behind what it wrote, or at once", async () => {
    await using on = await stand(subject, {});
    const closed = await exchange(on, ["a\nanswer b\nclose\nc\n"]);
    expect(closed.text).toEndWith("b\nbye\n");
    expect(closed.session).toMatchObject({ flags: "UAEX", details: "closed_by_filter{tcp-probe:asked_to}" });
    const reset = await exchange(on, ["reset\n"]);
    expect(reset).toMatchObject({ error: "ECONNRESET", session: { flags: "UAEX" } });
    expect(on.proxy.lines.at(0)).toContain(' 0 UAEX - closed_by_filter{tcp-probe:asked_to} "-" 19 ');
  });

  test.each(["throw", "reject", "secret", "reroute", "large 2000000"])(
    "%p fails the call: reset, told",
    async (what) => {
      await using on = await stand(subject, {}, { limits: { bodyMaxBytes: 1_000_000 } });
      const { error, session } = await exchange(on, [`a\n`, `${what}\n`]);
      expect(error).toBe("ECONNRESET");
      expect(session).toMatchObject({ flags: "LR", details: "filter_failed{tcp-probe}" });
      const runs = on.proxy.metrics.filters.map(({ phase, outcome }) => `${phase} ${outcome}`);
      expect(runs).toContain("connection proceed");
      expect(runs).toContain("chunk failed");
    },
  );

  test("that takes too long fails its call", async () => {
    await using on = await stand(subject, {}, { limits: { deadlineMs: 50 } });
    expect((await exchange(on, ["never\n"])).session).toMatchObject({ flags: "LR" });
    await using open = await stand(subject, { open: "never" }, { limits: { deadlineMs: 50 } });
    expect((await exchange(open, ["a\n"])).session).toMatchObject({ flags: "LR", upstreamHost: "" });
  });

  test("is left out where it failed, if that is its policy and it kept nothing back", async () => {
    await using on = await stand(subject, {}, { failurePolicy: "open" });
    expect((await exchange(on, ["a\nthrow\n"])).text).toBe("a\nthrow\n");
    expect((await exchange(on, ["drop\n", "throw\n"])).error).toBe("ECONNRESET");
    await using open = await stand(subject, { open: "throw" }, { failurePolicy: "open" });
    expect((await exchange(open, ["a\n"])).text).toBe("a\n");
  });

  test("greets, closes, resets, waits and routes before an upstream is connected", async () => {
    await using greeted = await stand(subject, { open: "greet" });
    expect((await exchange(greeted, ["a\n"])).text).toBe("hello\nfrom the filter\na\n");
    await using closed = await stand(subject, { open: "close" });
    expect(await exchange(closed, ["a\n"])).toMatchObject({
      text: "go away\n",
      session: { flags: "UAEX", details: "closed_by_filter{tcp-probe:not_today}", upstreamHost: "" },
    });
    expect(closed.upstream.sockets.size).toBe(0);
    await using reset = await stand(subject, { open: "reset" });
    expect(await exchange(reset, ["a\n"])).toMatchObject({ error: "ECONNRESET", session: { flags: "UAEX" } });
    await using waited = await stand(subject, { open: "wait" });
    expect((await exchange(waited, ["a\n"])).text).toBe("a\n");
    await using failed = await stand(subject, { open: "throw" });
    expect((await exchange(failed, ["a\n"])).session).toMatchObject({ flags: "LR" });
    await using routed = await stand(subject, { open: "route", mode: "blind" });
    expect(await exchange(routed, ["a\n"])).toMatchObject({ text: "other a\n", session: { cluster: "other" } });
  });

  test("sniffs first bytes, asks for more, and routes by them", async () => {
    await using on = await stand(subject, { mode: "sniff" }, { limits: { deadlineMs: 200 } });
    expect(await exchange(on, ["KV2\n", "a\n"])).toMatchObject({
      text: "other KV2\nother a\n",
      session: { cluster: "other" },
    });
    expect((await exchange(on, ["K", "V", "2", "\na\n"])).text).toBe("other KV2\nother a\n");
    expect((await exchange(on, ["late\n", "a\n", "drop\n"])).text).toBe("other late\nother a\n");
    expect((await exchange(on, ["KV1\nswap b\n"])).text).toBe("KV1\nb\n");
    expect(await exchange(on, ["STOP it\n"])).toMatchObject({
      text: "stopped\n",
      session: { flags: "UAEX", upstreamHost: "" },
    });
    // The client's end, or time, settles what is too short to tell.
    expect((await exchange(on, ["ab"])).text).toBe("ab");
    const silent = dialTcp(on.port);
    silent.socket.write("ab");
    const socket = await until("an upstream connection", () => [...on.upstream.sockets].at(-1));
    socket.write("go on\n");
    await until("the server's word", () => (silent.text === "go on\n" ? true : undefined));
    const before = on.proxy.sessions.length;
    silent.socket.destroy();
    await until("its session to end", () => on.proxy.sessions[before]);
    expect((await exchange(on, ["more of it\n"])).session).toMatchObject({ flags: "LR" });
  });

  test("that leaves is told to the filter and to the log, whatever it was at", async () => {
    await using on = await stand(subject, {});
    const client = dialTcp(on.port);
    client.socket.write("a\n");
    await until("the echo", () => (client.text === "a\n" ? true : undefined));
    client.socket.write("slow\n");
    await until("the filter to wait", () => on.metrics.find((line) => line.includes("{slow}")));
    client.socket.resetAndDestroy();
    const session = await until("the session to end", () => on.proxy.sessions[0]);
    expect(session.flags).toBe("DC");
    await until("the filter's word", () => on.logs.find(({ message }) => message === "over"));
  });

  test("that passes everything changes nothing: 4 MiB both ways, half-closed", async () => {
    await using on = await stand(subject, { mode: "raw" });
    const bytes = Buffer.alloc(4 * 1024 * 1024);
    for (let index = 0; index < bytes.length; index++) bytes[index] = (index * 7919) % 251;
    const text = bytes.toString("latin1");
    const { text: got, session } = await exchange(on, [text]);
    expect(Bun.hash(got)).toBe(Bun.hash(text));
    expect(session).toMatchObject({ bytesReceived: text.length, bytesSent: text.length, flags: "-" });
  });

  test("that passes everything keeps every byte past a client that rests", async () => {
    await using on = await stand(subject, { mode: "raw" });
    const client = dialTcp(on.port);
    const bytes = Buffer.alloc(16 * 1024 * 1024);
    for (let index = 0; index < bytes.length; index += 4) bytes.writeUInt32LE(index, index);
    client.socket.write("a\n");
    await until("the echo", () => (client.text === "a\n" ? true : undefined));
    client.socket.pause();
    const [upstream] = on.upstream.sockets;
    upstream?.write(bytes);
    await unchanged("what the server sent", () => upstream?.writableLength ?? 0);
    client.socket.resume();
    await until("every byte", () => (client.text.length >= bytes.length + 2 ? true : undefined));
    expect(Bun.hash(client.text.slice(2))).toBe(Bun.hash(bytes.toString("latin1")));
    client.socket.destroy();
  });

  test("past a client that reads nothing holds little of its answers", async () => {
    await using on = await stand(subject, {});
    const client = dialTcp(on.port);
    client.socket.pause();
    const line = `answer ${"x".repeat(900)}\n`;
    const lines = 30_000;
    client.socket.write(line.repeat(lines));
    const taken = await unchanged("what the proxy took", () => on.proxy.metrics.tcp.totals()[0]?.received ?? 0);
    expect(taken).toBeLessThan(line.length * lines * 0.7);
    client.socket.resume();
    client.socket.end();
    await until("every answer", () => (client.isEnded ? true : undefined), 28_000);
    expect(client.text.length).toBe((line.length - "answer ".length) * lines);
  });
});

const ISOLATED = subjectsOf(isolated, join(import.meta.dir, "../fixtures/tcp-isolated/filter.ts"))
  .map((subject) => [subject.engine, subject] as const)
  .filter(([engine]) => engine !== "native");

describe.each(ISOLATED)("a filter with an instance for each connection, in engine %s", (_, subject) => {
  const init: UseInit = { upstreams: {}, limits: { fuel: 2_000_000 } };

  test("counts each by itself, one after the other and beside each other", async () => {
    await using on = await stand(subject, {}, init);
    const other = dialTcp(on.port);
    other.socket.write("x\n");
    await until("the other's first line", () => (other.text === "1 x\n" ? true : undefined));
    for (let turn = 0; turn < 8; turn++) {
      expect((await exchange(on, ["a\n", "b\n"], "2 b\n")).text).toBe("1 a\n2 b\n");
    }
    other.socket.write("y\n");
    await until("the other's second line", () => (other.text === "1 x\n2 y\n" ? true : undefined));
    other.socket.destroy();
  });

  test("and one that throws or never ends costs the others nothing", async () => {
    await using on = await stand(subject, {}, init);
    const other = dialTcp(on.port);
    other.socket.write("x\n");
    await until("the other's first line", () => (other.text === "1 x\n" ? true : undefined));
    for (const what of ["throw", "loop", "throw", "loop"]) {
      expect((await exchange(on, [`${what}\n`])).session).toMatchObject({ flags: "LR" });
      expect((await exchange(on, ["a\n"], "1 a\n")).text).toBe("1 a\n");
    }
    other.socket.write("y\n");
    await until("the other's second line", () => (other.text === "1 x\n2 y\n" ? true : undefined));
    other.socket.destroy();
  });
});
