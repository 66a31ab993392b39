// A downstream connection whose service answers what the codec must not pass on as it is.
import { expect, test } from "bun:test";
import { EMPTY_BODY } from "../exchange/body.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { Reply } from "../exchange/reply.ts";
import { Listener } from "../contract/listener.ts";
import { replyFor } from "../reply/rescue.ts";
import { Http1Server } from "./http1-server.ts";

/** What a connection sends for one request that is answered so. */
async function sentFor(method: string, reply: Reply): Promise<string> {
  let sent = "";
  const transport = {
    write(bytes: Uint8Array, offset: number, length: number) {
      sent += Buffer.from(bytes.subarray(offset, offset + length)).toString("latin1");
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
  const server = new Http1Server(transport, downstream, {
    service: () => ({ ok: true, value: reply }),
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
      connectionRefused: () => undefined,
      tlsSecured: () => undefined,
      tcpOpened: () => undefined,
      tcpEnded: () => undefined,
    },
  });
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
