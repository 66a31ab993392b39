// Tunnels, interim replies and refused upgrades, cut into pieces anywhere on both sides: what comes out is what went in.
import { expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import fc from "fast-check";
import { startServing } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

const UPGRADE = "GET /t HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const REFUSAL =
  "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\nDate: now\r\n\r\n2;a=b\r\nno\r\n0\r\nX-T: 1\r\n\r\n";

/** What a tunnel may carry: above all, what looks like HTTP. */
const bite = fc.constantFrom(
  "\r\n",
  "\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "0\r\n\r\n",
  "HTTP/1.1 200 OK\r\n\r\n",
  "\0",
  "x",
);
const payload = fc.array(bite, { maxLength: 6 }).map((parts) => parts.join(""));
const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 });

/** Writes text in pieces of those sizes, each in a turn of its own, then FIN where it is asked for. */
async function writeInPieces(socket: Socket, text: string, sizes: readonly number[], ends: boolean): Promise<void> {
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    socket.write(text.slice(at, at + size), "latin1");
    at += size;
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (ends) socket.end();
}

/** Everything that comes on a socket until its FIN. */
function collect(socket: Socket): { text: string; isEnded: boolean } {
  const state = { text: "", isEnded: false };
  socket.on("data", (chunk) => (state.text += chunk.toString("latin1")));
  socket.on("end", () => (state.isEnded = true));
  socket.on("error", () => undefined);
  return state;
}

test("both directions of a tunnel arrive whole, however they are cut and whichever ends first", async () => {
  let serve: (socket: Socket) => void = collect;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => serve(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = address === null || typeof address === "string" ? 0 : address.port;
  using proxy = await startServing({
    outbound: { virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "app" }] }] }] },
    clusters: [{ name: "app", endpoints: [{ address: "127.0.0.1", port }] }],
  });
  await fc.assert(
    fc.asyncProperty(
      fc.record({ up: payload, down: payload, cuts, downCuts: cuts, isEarly: fc.boolean(), accepts: fc.boolean() }),
      async ({ up, down, cuts: upCuts, downCuts, isEarly, accepts }) => {
        const atUpstream = Promise.withResolvers<ReturnType<typeof collect>>();
        serve = (socket) => {
          const state = collect(socket);
          atUpstream.resolve(state);
          const answer = accepts ? HINTS + SWITCH + down : HINTS + REFUSAL;
          socket.once("data", () => void writeInPieces(socket, answer, downCuts, accepts));
          if (!accepts) socket.once("end", () => socket.end());
        };
        const socket = connect({ host: "127.0.0.1", port: proxy.port, allowHalfOpen: true, noDelay: true });
        const client = collect(socket);
        await writeInPieces(socket, isEarly && accepts ? UPGRADE + up : UPGRADE, upCuts, false);
        const isAnswered = (): boolean => client.text.includes(accepts ? "websocket\r\n\r\n" : "X-T: 1\r\n\r\n");
        await until("the answer", () => isAnswered() || undefined);
        if (accepts) await writeInPieces(socket, isEarly ? "" : up, upCuts, true);
        else socket.end();
        await until("the client's end", () => client.isEnded || undefined);
        const upstream = await atUpstream.promise;
        if (accepts) await until("the upstream's end", () => upstream.isEnded || undefined);
        expect(client.text).toStartWith(HINTS);
        if (accepts) expect(client.text.slice(client.text.indexOf("\r\n\r\n", HINTS.length) + 4)).toBe(down);
        else expect(client.text).toMatch(/HTTP\/1\.1 403 Forbidden\r\n[^]*n[^]*o\r\n0\r\nX-T: 1\r\n\r\n$/u);
        const [, ...rest] = upstream.text.split("\r\n\r\n");
        expect(rest.join("\r\n\r\n")).toBe(accepts ? up : "");
      },
    ),
    { numRuns: 300, interruptAfterTimeLimit: 6000 },
  );
  server.close();
  await proxy.apply({});
}, 30_000);
