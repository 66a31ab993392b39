// Connections that are passed on: what crosses, in which direction it ends, and what is told of it.
import { describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { runProgram, startProgram } from "../harness/program.ts";
import { freePort } from "../harness/ports.ts";
import { startServing } from "../harness/serving.ts";
import { dialTcp, listenTcp } from "../harness/tcp.ts";
import { until } from "../harness/until.ts";

/** A snapshot whose outbound side sends everything to one cluster. */
function toCluster(port: number, more: object = {}): object {
  return {
    clusters: [{ name: "db", service: "db.default", endpoints: [{ address: "127.0.0.1", port }], ...more }],
    outbound: { tcpRoutes: [{ name: "all", destinations: [{ cluster: "db" }] }] },
  };
}

describe("a stream", () => {
  test("crosses both ways, and FIN crosses as FIN", async () => {
    using server = await listenTcp((socket) => {
      let got = "";
      socket.on("data", (chunk) => (got += chunk.toString("latin1")));
      socket.on("end", () => socket.end(`got ${got}`));
    });
    using proxy = await startServing(toCluster(server.port));
    const client = dialTcp(proxy.port);
    client.socket.write("\u0001hello");
    client.socket.end();
    await until("the reply and its end", () => (client.isEnded ? true : undefined));
    expect(client.text).toBe("got \u0001hello");
    await until("the session to end", () => proxy.sessions[0]);
    expect(proxy.sessions[0]).toMatchObject({
      bytesReceived: 6,
      bytesSent: 10,
      flags: "-",
      cluster: "db",
      routeName: "all",
    });
    expect(proxy.lines[0]).toMatch(
      /^\[[^\]]+\] "- - -" 0 - - - "-" 6 10 \d+ - "-" "-" "-" "-" "127\.0\.0\.1:\d+" db 127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+ - all\n$/u,
    );
  });

  test("that the server ends first still takes what the client sends", async () => {
    let got = "";
    using server = await listenTcp((socket) => {
      socket.on("data", (chunk) => (got += chunk.toString("latin1")));
      socket.end("bye");
    });
    using proxy = await startServing({
      ...toCluster(server.port),
      outbound: { tcpRoutes: [{ destinations: [{ cluster: "db" }] }] },
    });
    const client = dialTcp(proxy.port);
    client.socket.write("\u0000");
    await until("the server's end", () => (client.isEnded ? true : undefined));
    client.socket.end("late");
    await until("the late bytes", () => (got === "\u0000late" ? true : undefined));
    expect(client.text).toBe("bye");
    expect(client.error).toBe("");
  });

  test("of a client that resets is reset upstream, and the other way round", async () => {
    let upstreamError = "";
    using server = await listenTcp((socket) => {
      socket.on("error", (error) => (upstreamError = "code" in error ? String(error.code) : ""));
      socket.on("data", (chunk) => {
        if (chunk[0] === 2) socket.resetAndDestroy();
        else socket.write(chunk);
      });
    });
    using proxy = await startServing(toCluster(server.port));
    const first = dialTcp(proxy.port);
    first.socket.write("\u0001");
    await until("the echo", () => (first.text === "\u0001" ? true : undefined));
    first.socket.resetAndDestroy();
    await until("a reset upstream", () => (upstreamError === "ECONNRESET" ? true : undefined));
    const second = dialTcp(proxy.port);
    second.socket.write("\u0002");
    await until("a reset downstream", () => (second.error === "ECONNRESET" ? true : undefined));
    await until("both sessions", () => proxy.sessions[1]);
    expect(proxy.sessions.map(({ flags }) => flags)).toEqual(["DC", "UC"]);
  });

  test("of 64 MiB crosses whole past a reader that pauses, without being held", async () => {
    const total = 64 * 1024 * 1024;
    using server = await listenTcp((socket) => {
      socket.resume();
      socket.once("data", () => {
        const block = Buffer.alloc(1024 * 1024, "x");
        let left = total;
        const pump = (): void => {
          while (left > 0) {
            left -= block.length;
            if (!socket.write(block)) return void socket.once("drain", pump);
          }
          socket.end();
        };
        pump();
      });
    });
    using proxy = await startServing(toCluster(server.port));
    const client = connect({ port: proxy.port, host: "127.0.0.1" });
    let got = 0;
    client.on("data", (chunk) => (got += chunk.length));
    client.write("\u0001");
    await until("the first bytes", () => (got > 0 ? true : undefined));
    client.pause();
    let sent = -1;
    // The proxy stops taking from upstream once the client's buffers are full.
    await until("the stream to stand still", async () => {
      const session = [...proxy.metrics.tcp.totals()][0];
      const before = sent;
      sent = session?.sent ?? 0;
      await Bun.sleep(100);
      return before === sent ? true : undefined;
    });
    expect(sent).toBeLessThan(total);
    client.resume();
    await until("all of it", () => (got === total ? true : undefined), 20_000);
  });
});

test("what is sent is what arrives, both ways at once, past readers that stop and go", async () => {
  const bytes = randomBytes(24 * 1024 * 1024);
  const digest = createHash("sha256").update(bytes).digest("hex");
  const upward = createHash("sha256");
  using server = await listenTcp((socket) => {
    socket.on("data", (chunk) => {
      upward.update(chunk);
      socket.pause();
      setImmediate(() => socket.resume());
    });
    socket.end(bytes);
  });
  using proxy = await startServing(toCluster(server.port));
  const socket = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  const downward = createHash("sha256");
  let isEnded = false;
  socket.on("data", (chunk) => {
    downward.update(chunk);
    socket.pause();
    setImmediate(() => socket.resume());
  });
  socket.on("end", () => (isEnded = true));
  // The first byte tells that this is not HTTP.
  socket.write("\u0001");
  socket.end(bytes);
  await until("both ends", () => (isEnded ? proxy.sessions[0] : undefined), 20_000);
  expect(downward.digest("hex")).toBe(digest);
  expect(upward.digest("hex")).toBe(createHash("sha256").update("\u0001").update(bytes).digest("hex"));
  expect(proxy.sessions[0]).toMatchObject({ bytesReceived: bytes.length + 1, bytesSent: bytes.length, flags: "-" });
}, 30_000);

describe("an upstream that cannot be reached", () => {
  test("closes the client's connection and is told", async () => {
    using proxy = await startServing(toCluster(freePort()));
    const client = dialTcp(proxy.port);
    client.socket.write("\u0001");
    await until("the end", () => (client.isEnded || client.isClosed ? true : undefined));
    client.socket.destroy();
    expect(client.text).toBe("");
    await until("the session", () => proxy.sessions[0]);
    expect(proxy.sessions[0]).toMatchObject({ flags: "UF,URX", upstreamFailure: "ECONNREFUSED" });
  });

  test("is left for the next endpoint where more attempts are allowed", async () => {
    using server = await listenTcp((socket) => socket.pipe(socket));
    using proxy = await startServing({
      clusters: [
        {
          name: "db",
          balance: "round_robin",
          endpoints: [
            { address: "127.0.0.1", port: freePort() },
            { address: "127.0.0.1", port: server.port },
          ],
        },
      ],
      outbound: { tcpRoutes: [{ maxConnectAttempts: 2, destinations: [{ cluster: "db" }] }] },
    });
    for (const turn of [0, 1]) {
      const client = dialTcp(proxy.port);
      client.socket.write("\u0001echo");
      await until(`the echo of turn ${turn}`, () => (client.text === "\u0001echo" ? true : undefined));
      client.socket.destroy();
    }
  });

  test("has a limit of connections, and one more is closed with UO", async () => {
    using server = await listenTcp((socket) => socket.pipe(socket));
    using proxy = await startServing(toCluster(server.port, { limits: { maxConnections: 1 } }));
    const first = dialTcp(proxy.port);
    first.socket.write("\u0001");
    await until("the echo", () => (first.text === "\u0001" ? true : undefined));
    const second = dialTcp(proxy.port);
    second.socket.write("\u0001");
    await until("the end of the second", () => proxy.sessions[0]);
    expect(proxy.sessions[0]?.flags).toBe("UO");
    second.socket.destroy();
    first.socket.destroy();
  });

  test("that stays silent is closed after the idle timeout", async () => {
    using server = await listenTcp((socket) => socket.resume());
    const snapshot = toCluster(server.port);
    using proxy = await startServing({
      ...snapshot,
      outbound: { tcpRoutes: [{ idleTimeoutMs: "100ms", destinations: [{ cluster: "db" }] }] },
    });
    const client = dialTcp(proxy.port);
    client.socket.write("\u0001");
    await until("the end", () => (client.isEnded ? true : undefined));
    client.socket.destroy();
  });
});

describe("programs", () => {
  test("redis-cli and redis-server", async () => {
    const port = freePort();
    await using redis = startProgram(["redis-server", "--port", String(port), "--save", ""]);
    await redis.printed(/Ready to accept connections/u);
    using proxy = await startServing(toCluster(port));
    const cli = (...args: string[]) => runProgram(["redis-cli", "-p", String(proxy.port), ...args]);
    expect((await cli("set", "key", "value")).stdout).toBe("OK\n");
    expect((await cli("get", "key")).stdout).toBe("value\n");
  });

  test("a client that half-closes: socat", async () => {
    using server = await listenTcp((socket) => {
      let got = "";
      socket.on("data", (chunk) => (got += chunk.toString("latin1")));
      socket.on("end", () => socket.end(got.toUpperCase()));
    });
    using proxy = await startServing(toCluster(server.port));
    const { stdout } = await runProgram([
      "sh",
      "-c",
      `printf 'not http\\n' | socat -t 5 - TCP:127.0.0.1:${proxy.port}`,
    ]);
    expect(stdout).toBe("NOT HTTP\n");
  });
});

describe("a server that speaks first", () => {
  test("is reached on a declared port before the client says anything", async () => {
    using server = await listenTcp((socket) => socket.write("220 ready\r\n"));
    // The listener's port has to be declared before it is known: the second snapshot declares it.
    using proxy = await startServing(toCluster(server.port));
    await proxy.apply({
      ...toCluster(server.port),
      outbound: {
        ports: [{ port: proxy.port, protocol: "tcp" }],
        tcpRoutes: [{ destinations: [{ cluster: "db" }] }],
      },
    });
    const client = dialTcp(proxy.port);
    await until("the greeting", () => (client.text === "220 ready\r\n" ? true : undefined));
    client.socket.destroy();
  });

  test("is reached elsewhere once the detection timeout is over", async () => {
    using server = await listenTcp((socket) => socket.write("220 ready\r\n"));
    const snapshot = toCluster(server.port);
    using proxy = await startServing({
      ...snapshot,
      outbound: { protocolDetectionTimeoutMs: "50ms", tcpRoutes: [{ destinations: [{ cluster: "db" }] }] },
    });
    const client = dialTcp(proxy.port);
    await until("the greeting", () => (client.text === "220 ready\r\n" ? true : undefined));
    client.socket.destroy();
  });
});

describe("metrics", () => {
  test("count connections and bytes under Istio's names", async () => {
    using server = await listenTcp((socket) => socket.pipe(socket));
    using proxy = await startServing(toCluster(server.port));
    const client = dialTcp(proxy.port);
    client.socket.write("\u0001four");
    await until("the echo", () => (client.text.length === 5 ? true : undefined));
    const [open] = proxy.metrics.tcp.totals();
    expect(open).toMatchObject({ opened: 1, closed: 0, received: 5, sent: 5 });
    expect(open?.labels).toContain('destination_service="db.default"');
    expect(open?.labels).toContain('request_protocol="tcp"');
    client.socket.end();
    await until("the end", () => proxy.sessions[0]);
    expect(proxy.metrics.tcp.totals()[0]).toMatchObject({ opened: 1, closed: 1, received: 5, sent: 5 });
  });
});
