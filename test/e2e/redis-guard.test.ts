// The guard before a real Redis, with Redis' own clients, through a real sidecar: natively and in both sandboxes.
import { RedisClient } from "bun";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { builtPeer } from "../harness/built-peers.ts";
import { startControl } from "../harness/control.ts";
import { freePort } from "../harness/ports.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { ROOT, startProxy } from "../harness/proxy.ts";
import { dialTcp } from "../harness/tcp.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(180_000);

const DENIED = "NOPERM this connection may not run the 'flushall' command";
const CONFIG = { deny: ["FLUSHALL", "KEYS", "CONFIG|SET"], keyPrefixes: ["cart"] };

const FLAGS = {
  native: [],
  jsc: ["--wasm-engine", "jsc"],
  wasmtime: ["--libwasmtime", builtPeer("libwasmtime.so")],
} as const;

async function startRedis(folder: string) {
  const port = freePort();
  const program = startProgram(
    ["redis-server", "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
    { cwd: folder },
  );
  await program.printed(/Ready to accept connections/u);
  return { port, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

/** Redis behind a sidecar with the guard, which is the built-in one or that of a bundle in that engine. */
async function startGuarded(engine: "native" | "jsc" | "wasmtime") {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await makeTempFolder());
  const redis = stack.use(await startRedis(folder.path));
  const control = stack.use(await startControl({ cwd: folder.path }));
  const proxy = stack.use(
    await startProxy({
      service: "cache",
      applicationPort: redis.port,
      control: control.url,
      cwd: folder.path,
      accessLog: folder.file("access.log"),
      flags: FLAGS[engine],
    }),
  );
  let source: object = { builtin: "redis-guard" };
  if (engine !== "native") {
    const built = await buildFilterFile(join(ROOT, "filters/redis-guard/filter.ts"));
    if (!built.ok) throw new Error(JSON.stringify(built.problems));
    source = { bundle: await control.push(built.value.artifact) };
  }
  const metadata = { name: "guard" };
  const service = {
    hosts: ["cache.default.svc.cluster.local"],
    location: "MESH_INTERNAL",
    resolution: "STATIC",
    ports: [{ number: proxy.inboundPort, name: "redis", protocol: "REDIS" }],
    endpoints: [{ address: "127.0.0.1" }],
  };
  const documents = [
    { apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: "cache" }, spec: service },
    {
      apiVersion: "vespid.dev/v1",
      kind: "Filter",
      metadata,
      spec: { ...source, config: CONFIG, selector: { services: ["cache"] } },
    },
  ];
  await control.rollOut(() => control.apply(documents.map((document) => JSON.stringify(document)).join("\n---\n")));
  const stats = async (): Promise<string> => (await fetch(`${proxy.admin}/stats/prometheus`)).text();
  return {
    port: proxy.inboundPort,
    redis,
    proxy,
    stats,
    logLines: () => Bun.file(folder.file("access.log")).text(),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describe.each(["native", "jsc", "wasmtime"] as const)("redis-guard in engine %s", (engine) => {
  test("stands before a real Redis for Redis' own clients", async () => {
    await using on = await startGuarded(engine);
    const cli = async (...args: readonly string[]) =>
      (await runProgram(["redis-cli", "-p", String(on.port), ...args])).stdout.trim();

    // One command at a time, allowed, denied and allowed again.
    expect(await cli("SET", "cart:1", "a b")).toBe("OK");
    expect(await cli("FLUSHALL")).toBe(DENIED);
    expect(await cli("config", "set", "maxmemory", "1")).toContain("NOPERM");
    expect(await cli("config", "get", "maxmemory")).toContain("maxmemory");
    expect(await cli("GET", "cart:1")).toBe("a b");
    expect(await cli("-3", "GET", "cart:1")).toBe("a b");

    // Pipelined, cut anywhere, inline among them: answers come in the order of the commands.
    const commands =
      "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\nFLUSHALL ASYNC\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" +
      "*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\nPING\r\n";
    const answers = `+OK\r\n-${DENIED}\r\n$5\r\na\r\nbc\r\n-${DENIED.replace("flushall", "keys")}\r\n+PONG\r\n`;
    for (const size of [1, 2, 3, 7, 1000]) {
      const client = dialTcp(on.port);
      client.socket.setNoDelay(true);
      for (let at = 0; at < commands.length; at += size) {
        await new Promise((resolve) => client.socket.write(commands.slice(at, at + size), resolve));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(`answers to pieces of ${size}`, () => (client.text.length >= answers.length ? true : undefined));
      expect(client.text).toBe(answers);
      // Half-closed: Redis ends, and so does the connection.
      client.socket.end();
      await until("the end", () => (client.isEnded ? true : undefined));
    }

    // A transaction with a denied command is discarded whole.
    const multi = dialTcp(on.port);
    multi.socket.write("MULTI\r\nSET t 1\r\nFLUSHALL\r\nSET t 2\r\nEXEC\r\nGET t\r\n");
    const aborted = "-EXECABORT Transaction discarded because of previous errors.";
    const whole = `+OK\r\n+QUEUED\r\n-${DENIED}\r\n+QUEUED\r\n${aborted}\r\n$-1\r\n`;
    await until("the transaction's replies", () => (multi.text.length >= whole.length ? true : undefined));
    expect(multi.text).toBe(whole);
    multi.socket.destroy();

    // What is not the protocol, or could be read in two ways, never reaches Redis.
    const smuggler = dialTcp(on.port);
    smuggler.socket.write("*2\r\n$3\r\nGET\r\n$1\nk\r\nFLUSHALL\r\n");
    await until("a reset", () => (smuggler.error === "ECONNRESET" ? true : undefined));
    expect(await cli("GET", "cart:1")).toBe("a b");

    // Bun's client: pipelines of its own, large values, and RESP3.
    const client = new RedisClient(`redis://127.0.0.1:${on.port}`);
    const keys = Array.from({ length: 500 }, (_, index) => `cart:p${index}`);
    await Promise.all(keys.map((key) => client.set(key, key)));
    const mixed = await Promise.all(
      keys.map((key, index) => (index % 10 === 0 ? client.send("FLUSHALL", []).then(String, String) : client.get(key))),
    );
    expect(
      mixed.map((value, index) => (index % 10 === 0 ? String(value).includes(DENIED) : value === keys[index])),
    ).toEqual(keys.map(() => true));
    const large = "v".repeat(8 * 1024 * 1024);
    await client.set("large", large);
    expect(Bun.hash((await client.get("large")) ?? "")).toBe(Bun.hash(large));

    // Publish and subscribe, with a denied command among the messages.
    const subscriber = dialTcp(on.port);
    subscriber.socket.write("SUBSCRIBE news more\r\nFLUSHALL\r\n");
    const confirmed = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nmore\r\n:2\r\n";
    await until("the subscription", () => (subscriber.text.includes("NOPERM") ? true : undefined));
    expect(subscriber.text).toBe(`${confirmed}-${DENIED}\r\n`);
    expect(await client.publish("news", "hello")).toBe(1);
    await until("the message", () => (subscriber.text.endsWith("$4\r\nnews\r\n$5\r\nhello\r\n") ? true : undefined));
    subscriber.socket.destroy();
    client.close();

    const stats = await on.stats();
    const count = (series: string): number =>
      Number(new RegExp(`^${RegExp.escape(series)} (\\d+)$`, "mu").exec(stats)?.[1] ?? 0);
    const of = 'filter="default/guard"';
    expect(count(`redis_commands_total{${of},command="flushall",verdict="denied"}`)).toBe(1 + 5 + 1 + 50 + 1);
    expect(count(`redis_commands_total{${of},command="set",verdict="allowed"}`)).toBe(1 + 5 + 2 + 500 + 1);
    expect(count(`redis_keys_total{${of},prefix="cart"}`)).toBe(1 + 3 + 500 + 450);
    expect(await on.logLines()).toContain(" LR - filter_failed{default/guard} ");
  });

  test("carries redis-benchmark's load, and what it stored is there", async () => {
    await using on = await startGuarded(engine);
    const run = await runProgram([
      "redis-benchmark",
      "-p",
      String(on.port),
      "-t",
      "set,get,lpush,mset",
      "-n",
      "3200",
      "-c",
      "20",
      "-P",
      "16",
      "-q",
    ]);
    expect(run.output.match(/requests per second/gu)?.length).toBe(4);
    expect(run.status).toBe(0);
    const length = await runProgram(["redis-cli", "-p", String(on.redis.port), "LLEN", "mylist"]);
    expect(length.stdout.trim()).toBe("3200");
    const stats = await on.stats();
    expect(stats).toContain('redis_commands_total{filter="default/guard",command="lpush",verdict="allowed"} 3200');
  });
});
