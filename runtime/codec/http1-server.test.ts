// A downstream connection whose service answers what the codec must not pass on as it is.
import { expect, test } from "bun:test";
import { EMPTY_BODY } from "../exchange/body.ts";
import type { Exchange, Outcome, Service } from "../exchange/exchange.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { Reply } from "../exchange/reply.ts";
import { Listener } from "../contract/listener.ts";
import { replyFor } from "../reply/rescue.ts";
import { Http1Server } from "./http1-server.ts";

/** A connection whose requests `service` answers, on a socket that hands what is written to `sent`. */
function openServer(service: Service, sent: (text: string) => void): Http1Server {
  const transport = {
    write(bytes: Uint8Array, offset: number, length: number) {
      sent(Buffer.from(bytes.subarray(offset, offset + length)).toString("latin1"));
      return length;
    },
    pause: () => undefined,
    resume: () => undefined,
    shutdown: () => undefined,
    end: () => undefined,
    terminate: () => undefined,
  };
  const downstream = {
    direction: "inbound" as const,
    remoteIp: "127.0.0.1",
    remoteAddress: "127.0.0.1:1",
    localAddress: "127.0.0.1:2",
    localPort: 2,
    originalDestination: undefined,
    tls: undefined,
  };
  return new Http1Server(transport, downstream, {
    service,
    limits: Listener.parse({}).limits,
    http: Listener.parse({}).http,
    render: replyFor,
    isDraining: false,
    clock: { now: () => 0, monotonic: () => 1 },
    observer: {
      connectionOpened: () => undefined,
      connectionClosed: () => undefined,
      exchangeEnded: () => undefined,
      filterRan: () => undefined,
      circuitChanged: () => undefined,
      connectionRefused: () => undefined,
      tlsSecured: () => undefined,
      tcpOpened: () => undefined,
      tcpEnded: () => undefined,
    },
  });
}

/** What a connection sends for one request that is answered so. */
async function sentFor(method: string, reply: Reply): Promise<string> {
  let sent = "";
  const server = openServer(
    () => ({ ok: true, value: reply }),
    (text) => (sent += text),
  );
  server.data(Buffer.from(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`));
  await Promise.resolve();
  return sent;
}

// A 304 says the length of what it stands for; a filter that makes a 200 of it must not announce bytes that never come:
// the client would take the next reply on the connection for them.
test.each([
  ["GET", 200, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"],
  ["GET", 304, "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"],
  ["HEAD", 200, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"],
])("%s answered %p without a body says a length that holds", async (method, status, expected) => {
  expect(await sentFor(method, new Reply(status, "", HeaderMap.from([["Content-Length", "100"]]), EMPTY_BODY))).toBe(
    expected,
  );
});

// The connection frees a large chunk's memory once all of it was passed on; the head that came in it is read until the reply.
test("a head outlives the chunk that it came in", async () => {
  const names: (string | undefined)[] = [];
  const waiting: { readonly exchange: Exchange; readonly answer: (outcome: Outcome) => void }[] = [];
  const server = openServer(
    (exchange) => {
      exchange.body.pipe({ write: () => true, end: () => undefined, abort: () => undefined });
      const { promise, resolve } = Promise.withResolvers<Outcome>();
      waiting.push({ exchange, answer: resolve });
      return promise;
    },
    () => undefined,
  );
  const answerNext = async () => {
    const next = waiting.shift();
    names.push(next?.exchange.headers.get("x-name"));
    next?.answer({ ok: true, value: new Reply(200, "", new HeaderMap(), EMPTY_BODY) });
    await Promise.resolve();
    await Promise.resolve();
  };
  const body = "x".repeat(40_000);
  const post = (name: string) =>
    `POST / HTTP/1.1\r\nHost: a\r\nX-Name: ${name}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const alone = Buffer.from(post("alone"));
  server.data(alone);
  expect(alone).toBeEmpty();
  await answerNext();
  const together = Buffer.from(`${post("first")}${post("second")}`);
  server.data(together);
  await answerNext();
  await answerNext();
  expect(names).toEqual(["alone", "first", "second"]);
  // The second head lies in the middle, and keeps it.
  expect(together).not.toBeEmpty();
});
