// What an upstream gets of a request whose body the proxy made.
import { expect, test } from "bun:test";
import { startScriptedUpstream } from "../../test/harness/scripted-upstream.ts";
import { until } from "../../test/harness/until.ts";
import { makeExchange, startClock } from "../../sdk/testing/exchange.ts";
import { Cluster } from "../contract/cluster.ts";
import { bytesBody } from "../exchange/body.ts";
import { failure } from "../exchange/failure.ts";
import { promised } from "../exchange/later.ts";
import { buildTarget } from "../generation.ts";
import { compileForward } from "../upstream/forward.ts";

/** A body that would be a request. */
const NEXT = "GET /next HTTP/1.1\r\nHost: victim\r\n\r\n";

test("a body whose length no field tells is framed by its own: it is never read as the next request", async () => {
  using upstream = startScriptedUpstream((connection) =>
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
  );
  const cluster = Cluster.parse({ name: "app", endpoints: [{ address: "127.0.0.1", port: upstream.port }] });
  const target = buildTarget(cluster, undefined, Math.random);
  const clock = startClock();
  const lost = { ok: false as const, error: failure("no_cluster", "it is gone") };
  const send = compileForward(new Map([["", target]]), () => lost, clock);
  const exchange = makeExchange({ method: "POST", routeName: "app", body: bytesBody(Buffer.from(NEXT)) }, clock);
  const outcome = await promised(send(exchange));
  const reply = outcome.ok ? outcome.value : undefined;
  reply?.body.cancel();
  expect(reply?.status).toBe(200);
  await until("all of it", () => upstream.connections[0]?.received.endsWith(NEXT) || undefined);
  expect(upstream.connections[0]?.received).toBe(`POST / HTTP/1.1\r\nContent-Length: 36\r\n\r\n${NEXT}`);
  target.pool.drain();
});
