// Nothing that an application takes for a request reaches it around the routes and filters by being taken for plain TCP.
import { describe, expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { exchangeRaw } from "../harness/raw.ts";
import { startServing } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

/** An application that notes all it is sent. */
async function startApplication(): Promise<Disposable & { readonly port: number; readonly received: () => string }> {
  let received = "";
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return {
    port: address.port,
    received: () => received,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const CLOSED = "/closed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

describe("a request that begins oddly is no TCP", () => {
  test.each([
    ["after 8 KiB of empty lines, which Node skips", ["\r\n".repeat(4200), `GET ${CLOSED}`]],
    ["with a vertical tab for a space, as Python splits", ["GET\u000B/clo", "sed\u000BHTTP/1.1\r\nHost: a\r\n\r\n"]],
    ["after a form feed", ["\u000CGET /clo", "sed HTTP/1.1\r\nHost: a\r\n\r\n"]],
    ["of HTTP/0.9 with a no-break space", ["GET\u00A0/closed\r\n"]],
  ])("%s", async (_, pieces) => {
    using application = await startApplication();
    using proxy = await startServing({}, { address: "127.0.0.1", applicationPort: application.port });
    const open = await exchangeRaw(proxy.port, "GET /open HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(open.text).toStartWith("HTTP/1.1 200");
    const socket = connect({ host: "127.0.0.1", port: proxy.port, noDelay: true });
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.on("error", () => undefined);
    for (const piece of pieces) {
      socket.write(piece, "latin1");
      // The pieces have to arrive apart.
      await Bun.sleep(20);
    }
    await until("an answer", () => (text === "" ? undefined : true));
    socket.destroy();
    expect(application.received()).not.toContain("closed");
    expect(text).toStartWith("HTTP/1.1 400");
  });

  test("however slowly it comes", async () => {
    using application = await startApplication();
    using proxy = await startServing(
      { inbound: { limits: { headTimeoutMs: 60 } } },
      {
        address: "127.0.0.1",
        applicationPort: application.port,
      },
    );
    const socket = connect({ host: "127.0.0.1", port: proxy.port, noDelay: true });
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.on("error", () => undefined);
    socket.write("FROB ");
    await until("the end of its time", () => (text === "" ? undefined : true));
    socket.write(CLOSED);
    socket.destroy();
    expect(text).toStartWith("HTTP/1.1 408");
    expect(application.received()).toBe("");
  });
});
