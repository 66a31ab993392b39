// Laws of the HTTP/2 codec: how bytes are cut into chunks changes nothing, and no frames whatsoever crash it, hang it or
// leave an exchange behind.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Http2Client, newPeerMemory } from "../../runtime/codec/http2-client.ts";
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  HEADERS,
  PADDED,
  PREFACE,
  PRIORITY,
  PRIORITY_FLAG,
  SETTINGS,
} from "../../runtime/codec/http2-frames.ts";
import { Http2Server } from "../../runtime/codec/http2-server.ts";
import { StreamRing } from "../../runtime/codec/http2-stream-ring.ts";
import type { Front } from "../../runtime/codec/http1-server.ts";
import type { Transport } from "../../runtime/codec/socket-writer.ts";
import { Http2Client as ClientOptions } from "../../runtime/contract/http2.ts";
import { ListenerHttp, ListenerLimits } from "../../runtime/contract/listener.ts";
import { bytesBody, EMPTY_BODY } from "../../runtime/exchange/body.ts";
import { Exchange, type Downstream, type Outcome } from "../../runtime/exchange/exchange.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { localReply } from "../../runtime/exchange/reply.ts";
import { replyFor } from "../../runtime/reply/rescue.ts";
import { block, frame, request, settings } from "../harness/http2-peer.ts";

const CLOCK = { now: () => 0, monotonic: () => 1 };
const DOWNSTREAM: Downstream = {
  direction: "outbound",
  remoteIp: "127.0.0.1",
  remoteAddress: "127.0.0.1:1",
  localAddress: "127.0.0.1:2",
  localPort: 2,
  originalDestination: undefined,
  tls: undefined,
};

/** Takes what fits a buffer that is never emptied, as a peer that does not read; 0 is no bound. */
class Wire implements Transport {
  bytes = 0;
  isEnded = false;
  readonly #room: number;
  constructor(room = 0) {
    this.#room = room;
  }
  write(_bytes: Uint8Array, _offset: number, length: number): number {
    const taken = this.#room === 0 ? length : Math.max(0, Math.min(length, this.#room - this.bytes));
    this.bytes += taken;
    return taken;
  }
  pause(): void {}
  resume(): void {}
  shutdown(): void {
    this.isEnded = true;
  }
  end(): void {
    this.isEnded = true;
  }
  terminate(): void {
    this.isEnded = true;
  }
}

interface Seen {
  readonly exchanges: string[];
  started: number;
  ended: number;
}

/** A server whose service reads each request whole, then answers with what it read. */
function serve(wire: Wire): { readonly server: Http2Server; readonly seen: Seen } {
  const seen: Seen = { exchanges: [], started: 0, ended: 0 };
  const front: Front = {
    service: (exchange) => {
      seen.started++;
      return readWhole(exchange, seen);
    },
    limits: ListenerLimits.parse({ headMaxBytes: 4096, bodyMaxBytes: 3000 }),
    http: ListenerHttp.parse({}),
    render: replyFor,
    isDraining: false,
    clock: CLOCK,
    observer: {
      exchangeEnded: () => void seen.ended++,
      connectionOpened: () => undefined,
      connectionClosed: () => undefined,
      connectionRefused: () => undefined,
      tlsSecured: () => undefined,
      tcpOpened: () => undefined,
      tcpEnded: () => undefined,
      filterRan: () => undefined,
      circuitChanged: () => undefined,
    },
  };
  return { server: new Http2Server(wire, DOWNSTREAM, front), seen };
}

function readWhole(exchange: Exchange, seen: Seen): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  let text = "";
  exchange.waiter = { aborted: (cause) => resolve({ ok: false, error: cause }) };
  exchange.body.pipe({
    write: (chunk, start, end) => {
      text += chunk.latin1Slice(start, end);
      return true;
    },
    end: (trailers) => {
      const fields = [...exchange.headers, ...(trailers ?? [])].map((pair) => pair.join("=")).join("&");
      seen.exchanges.push(`${exchange.method} ${exchange.path} ${fields} ${text}`);
      resolve({ ok: true, value: localReply(200, text, "test") });
    },
    abort: (cause) => {
      seen.exchanges.push(`${exchange.path} ${cause.kind}`);
      resolve({ ok: false, error: cause });
    },
  });
  return promise;
}

const PRIORITY_FIELD = Buffer.from([0, 0, 0, 0, 15]);

/** One connection's worth of everything that is allowed. */
const VALID = Buffer.concat([
  PREFACE,
  frame(SETTINGS, 0, 0, settings([[4, 100_000]])),
  frame(HEADERS, END_HEADERS | END_STREAM, 1, block(request("/one"))),
  frame(HEADERS, END_HEADERS | PRIORITY_FLAG, 3, Buffer.concat([PRIORITY_FIELD, block(request("/two", [], "POST"))])),
  frame(0xfa, 0xff, 0, Buffer.from("an extension")),
  frame(DATA, 0, 3, Buffer.from("some")),
  frame(DATA, PADDED, 3, Buffer.concat([Buffer.from([3]), Buffer.from("body"), Buffer.alloc(3)])),
  frame(PRIORITY, 0, 9, PRIORITY_FIELD),
  frame(HEADERS, END_STREAM, 5, block(request("/three")).subarray(0, 10)),
  frame(CONTINUATION, 0, 5, block(request("/three")).subarray(10, 30)),
  frame(CONTINUATION, END_HEADERS, 5, block(request("/three")).subarray(30)),
  frame(HEADERS, END_HEADERS | END_STREAM, 3, block([["x-sum", "7"]])),
  frame(6, 0, 0, Buffer.alloc(8)),
  frame(HEADERS, END_HEADERS, 7, block(request("/four", [["content-length", "0"]], "PUT"))),
  frame(DATA, END_STREAM | PADDED, 7, Buffer.from([0])),
]);

function seenOf(chunks: readonly Buffer[]): Seen {
  const { server, seen } = serve(new Wire());
  for (const chunk of chunks) server.data(chunk);
  server.closed();
  return seen;
}

test("any cut of a connection's bytes gives the same exchanges", () => {
  const whole = seenOf([VALID]).exchanges;
  expect(whole).toHaveLength(4);
  expect(whole.join("\n")).toContain("x-sum=7 somebody");
  expect(seenOf([...VALID].map((byte) => Buffer.from([byte]))).exchanges).toEqual(whole);
  fc.assert(
    fc.property(fc.array(fc.nat(VALID.length), { maxLength: 12 }), (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), VALID.length];
      const chunks = at.slice(1).map((end, index) => Buffer.from(VALID.subarray(at[index], end)));
      expect(seenOf(chunks).exchanges).toEqual(whole);
    }),
  );
});

const fields = fc.constantFrom(
  block(request("/a")),
  block(request("/b", [["content-length", "3"]], "POST")),
  block(request("/c", [["te", "gzip"]])),
  block([[":status", "200"]]),
  block([[":status", "103"]]),
  block([
    [":status", "200"],
    ["content-length", "3"],
  ]),
  block([["x-trailer", "1"]]),
  Buffer.from([0x82, 0x86, 0x84, 0x41, 0x01, 0x61]),
  Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
);
const payload = fc.oneof(
  fields,
  fc.constantFrom(Buffer.alloc(0), Buffer.alloc(4), Buffer.from([0, 0, 0, 9]), Buffer.alloc(8), PRIORITY_FIELD),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(
    settings([
      [4, 10],
      [1, 0],
      [3, 5],
    ]),
  ),
);
const anyFrame = fc
  .tuple(
    fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0, 1, 1, 3, 8) }, { weight: 2, arbitrary: fc.nat(11) }),
    fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 1, 4, 5, 5) }, { weight: 1, arbitrary: fc.nat(255) }),
    fc.constantFrom(0, 1, 1, 3, 3, 5, 7, 2, 0x7fff_ffff),
    payload,
  )
  .map(([type, flags, id, bytes]) => frame(type, flags, id, bytes));

test("no frames crash a server, hang it or leave an exchange behind", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { maxLength: 40 }), fc.nat(200), fc.nat(1), async (frames, cut, isFull) => {
      const { server, seen } = serve(new Wire(isFull * 300));
      const bytes = Buffer.concat([PREFACE, frame(SETTINGS, 0, 0), ...frames]);
      server.data(Buffer.from(bytes.subarray(0, cut)));
      await Promise.resolve();
      server.data(Buffer.from(bytes.subarray(cut)));
      await Promise.resolve();
      server.sweep(1e9);
      server.closed();
      await Promise.resolve();
      expect(seen.ended).toBeGreaterThanOrEqual(seen.started);
    }),
    { numRuns: 300 },
  );
});

test("no frames crash a client, and every request hears of its end once", () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 40 }), fc.nat(200), (frames, cut) => {
      const client = new Http2Client(new Wire(), "", ClientOptions.parse(undefined), newPeerMemory(), {
        roomChanged: () => undefined,
      });
      const asked = [1, 2, 3].map((turn) => {
        const one = { released: 0, failed: 0, bodies: 0, replied: 0 };
        const body = turn === 2 ? bytesBody(Buffer.from("abc")) : EMPTY_BODY;
        const exchange = new Exchange(DOWNSTREAM, "GET", "/", "a", "HTTP/2", new HeaderMap(), body, CLOCK);
        client.send(exchange, {
          replied: (reply) => {
            one.replied++;
            const over = (): void => void one.bodies++;
            reply.body.pipe({ write: () => turn === 3, end: over, abort: over });
          },
          released: () => void one.released++,
          failed: () => void one.failed++,
        });
        return one;
      });
      const bytes = Buffer.concat([frame(SETTINGS, 0, 0), ...frames]);
      client.data(Buffer.from(bytes.subarray(0, cut)));
      client.data(Buffer.from(bytes.subarray(cut)));
      client.sweep(1e9);
      client.closed();
      // One that was answered fails no more: its body may.
      for (const one of asked)
        expect(one).toEqual({ released: 1, failed: 1 - one.replied, bodies: one.replied, replied: one.replied });
    }),
    { numRuns: 300 },
  );
});

test("a ring of streams finds what a map finds", () => {
  const step = fc.tuple(fc.constantFrom("add" as const, "delete" as const), fc.nat(400));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.constantFrom(2, 512, 4096), (steps, stride) => {
      const ring = new StreamRing<{ readonly id: number }>();
      const model = new Map<number, { readonly id: number }>();
      for (const [kind, at] of steps) {
        const id = at * stride + 1;
        const there = model.get(id);
        if (kind === "add" && there === undefined) {
          const stream = { id };
          ring.add(stream);
          model.set(id, stream);
        } else if (kind === "delete" && there !== undefined) {
          ring.delete(there);
          model.delete(id);
        }
      }
      expect(ring.size).toBe(model.size);
      for (let at = 0; at <= 400; at++) expect(ring.get(at * stride + 1)).toBe(model.get(at * stride + 1));
      expect(
        ring
          .all()
          .map(({ id }) => id)
          .toSorted((a, b) => a - b),
      ).toEqual([...model.keys()].toSorted((a, b) => a - b));
    }),
  );
});
