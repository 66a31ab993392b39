// What filters make of a connection does not depend on how its bytes came, how much of them its sockets take at once, or how
// long a filter thinks.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { compileTcpChain } from "../../runtime/chain/tcp-chain.ts";
import type { Transport } from "../../runtime/codec/socket-writer.ts";
import type { TcpProxy } from "../../runtime/codec/tcp-proxy.ts";
import { TcpSession } from "../../runtime/exchange/tcp-session.ts";
import { defineFilter, lines, type AnyFilter } from "../../sdk/index.ts";
import { subjectsOf, unwrap } from "../contract/subjects.ts";

const CLOCK = { now: () => 0, monotonic: () => 0 };

/** Upper-cases lines down, drops those that begin with `-`, answers those with `?`; each may think first. */
function editor(name: string, thinks: readonly boolean[]): AnyFilter {
  return defineFilter({
    name,
    stage: "transform",
    tcp(connection) {
      let seen = 0;
      const decide = (line: string) => {
        if (line.startsWith("-")) return "";
        if (line.startsWith("?")) connection.write("downstream", `${line.slice(1)}!\n`);
        return `${line.toUpperCase()}\n`;
      };
      return {
        downstream: lines({}, (line) =>
          thinks[seen++ % Math.max(1, thinks.length)] === true
            ? Promise.resolve().then(() => decide(line))
            : decide(line),
        ),
        upstream: () => undefined,
      };
    },
  });
}

/** A socket that takes `room` bytes in all until it is drained, and keeps what it took. */
class SlowSocket implements Transport {
  text = "";
  isPaused = false;
  isShut = false;
  #room: number;
  readonly #rooms: readonly number[];
  #turn = 0;

  constructor(rooms: readonly number[]) {
    this.#rooms = rooms;
    this.#room = rooms[0] ?? 1;
  }

  write(bytes: Uint8Array, offset: number, length: number): number {
    const sent = Math.min(length, this.#room);
    this.#room -= sent;
    this.text += Buffer.from(bytes.subarray(offset, offset + sent)).toString("latin1");
    return sent;
  }

  refill(): void {
    this.#room = this.#rooms[++this.#turn % this.#rooms.length] ?? 1;
  }

  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  shutdown(): void {
    this.isShut = true;
  }
  end(): void {
    this.isShut = true;
  }
  terminate(): void {
    throw new Error("was reset");
  }
}

/** Leads chunks of both sides through the filters, between sockets that take as much as they are said to. */
async function carry(
  filters: readonly AnyFilter[],
  down: readonly string[],
  up: readonly string[],
  rooms: readonly number[],
) {
  const built = await Promise.all(
    filters.map(async (filter) =>
      unwrap(await (subjectsOf(filter, "")[0] ?? expect.unreachable()).build({ name: filter.name })),
    ),
  );
  const client = new SlowSocket(rooms);
  const server = new SlowSocket(rooms);
  let proxy: TcpProxy | undefined;
  const runs = { filterRan: () => undefined, circuitChanged: () => undefined };
  const filtered = compileTcpChain(
    built,
    runs,
    CLOCK,
  )?.({
    transport: client,
    session: new TcpSession(
      {
        direction: "inbound",
        remoteIp: "10.0.0.7",
        remoteAddress: "10.0.0.7:1",
        localAddress: "10.0.0.8:2",
        localPort: 2,
        originalDestination: undefined,
        tls: undefined,
      },
      "",
      CLOCK,
    ),
    plan: { idleTimeoutMs: 0, upstreamFor: () => ({ start: (begun) => (proxy = begun), over: () => undefined }) },
    planFor: () => undefined,
    observer: { tcpOpened: () => undefined, tcpEnded: () => undefined },
    over: () => undefined,
  });
  filtered?.start();
  proxy?.opened(server);
  const [toServer, toClient] = [[...down], [...up]];
  for (let turn = 0; turn < 2000 && !(client.isShut && server.isShut); turn++) {
    const isDownDone = toServer.length === 0;
    if (!client.isPaused) {
      const next = toServer.shift();
      if (next !== undefined) filtered?.data(Buffer.from(next, "latin1"));
      else filtered?.ended();
    }
    // The server speaks and ends when it has read everything, as what a filter answers after its end goes nowhere.
    if (isDownDone && server.isShut && !server.isPaused) {
      const next = toClient.shift();
      if (next !== undefined) proxy?.upstreamData(Buffer.from(next, "latin1"));
      else proxy?.upstreamEnded();
    }
    await Promise.resolve();
    client.refill();
    filtered?.drained();
    server.refill();
    proxy?.upstreamDrained();
    await Promise.resolve();
  }
  for (const filter of built) filter.stop();
  return { toServer: server.text, toClient: client.text, isOver: client.isShut && server.isShut };
}

const line = fc
  .string({ unit: fc.constantFrom("a", "b", "é"), maxLength: 8 })
  .chain((text) => fc.constantFrom("", "-", "?").map((mark) => `${mark}${text}\n`));
const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });
const rooms = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
const thinks = fc.array(fc.boolean(), { maxLength: 4 });

function cut(text: string, sizes: readonly number[]): readonly string[] {
  const pieces: string[] = [];
  for (let at = 0, index = 0; at < text.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return pieces;
}

test("the same bytes reach the same sides, and both ends do", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 12 }),
      fc.string({ unit: "binary-ascii" }),
      cuts,
      rooms,
      thinks,
      async (all, reply, sizes, room, slow) => {
        const text = Buffer.from(all.join("")).toString("latin1");
        const { toServer, toClient, isOver } = await carry(
          [editor("one", slow), editor("two", [])],
          cut(text, sizes),
          cut(reply, sizes),
          room,
        );
        const passed = all.filter((one) => !one.startsWith("-")).map((one) => one.toUpperCase());
        const asked = all.filter((one) => one.startsWith("?")).map((one) => one.slice(1, -1));
        // Each of the two answers a question, the second in capitals.
        const answers = asked.flatMap((one) => [`${one}!\n`, `${one.toUpperCase()}!\n`]);
        expect(isOver).toBe(true);
        expect(Buffer.from(toServer, "latin1").toString()).toBe(passed.join(""));
        const [own, rest] = [
          Buffer.from(toClient.slice(0, toClient.length - reply.length), "latin1").toString(),
          toClient.slice(toClient.length - reply.length),
        ];
        expect(own.split("\n").toSorted()).toEqual(answers.join("").split("\n").toSorted());
        expect(rest).toBe(reply);
      },
    ),
    { numRuns: 60 },
  );
});

function pass(name: string): AnyFilter {
  return defineFilter({
    name,
    stage: "observe",
    tcp: () => ({ downstream: () => undefined, upstream: () => undefined }),
  });
}

test("filters that pass everything change nothing", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "binary-ascii" }),
      fc.string({ unit: "binary-ascii" }),
      cuts,
      rooms,
      async (down, up, sizes, room) => {
        const carried = await carry([pass("one"), pass("two")], cut(down, sizes), cut(up, sizes), room);
        expect(carried).toEqual({ toServer: down, toClient: up, isOver: true });
      },
    ),
    { numRuns: 60 },
  );
});
