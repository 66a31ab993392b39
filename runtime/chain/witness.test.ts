// What a witness is told of a filter's calls.
import { expect, test } from "bun:test";
import { counter, defineFilter, reply } from "../../sdk/index.ts";
import { makeExchange, startClock } from "../../sdk/testing/exchange.ts";
import { surroundingsOf } from "../../sdk/testing/run-filter.ts";
import { FilterUse } from "../contract/filter.ts";
import { bytesBody } from "../exchange/body.ts";
import { localReply } from "../exchange/reply.ts";
import { buildNativeFilter } from "./native-filter.ts";
import { witnessFilter, type Witnessed } from "./witness.ts";

const filter = defineFilter({
  name: "busy",
  stage: "transform",
  reads: ["x-do"],
  writes: ["x-a", "x-b", "x-c", "metadata.who", ":status"],
  body: { request: "stream", response: "buffer" },
  metrics: { seen_total: counter() },
  async request(request) {
    if (request.headers.get("x-do") === "reply") return reply({ status: 403 });
    if (request.headers.get("x-do") === "throw") throw new Error("no");
    request.headers.set("x-a", "1");
    request.headers.append("x-b", "2");
    request.headers.delete("x-c");
    request.setAttribute("metadata.who", "ada");
    request.body.transform({ chunk: () => undefined });
    return undefined;
  },
  response(response) {
    response.status = 404;
    response.body.replace("another");
  },
});

async function watch(headers: Readonly<Record<string, string>>): Promise<readonly Witnessed[]> {
  const clock = startClock();
  const use = FilterUse.parse({ name: "busy", source: { kind: "builtin", name: "busy" }, stage: "transform" });
  const built = await buildNativeFilter(filter, use, surroundingsOf(clock));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const told: Witnessed[] = [];
  const watched = witnessFilter(
    built.value,
    (seen) => told.push(seen),
    () => clock.monotonic(),
  );
  const exchange = makeExchange({ headers, body: bytesBody(Buffer.from("body")) }, clock);
  await watched.request?.(exchange);
  await watched.response?.(exchange, localReply(200, "ok", "via_upstream"));
  return told;
}

test("edits are what differs in the head, and what became of the body is told", async () => {
  const [down, up] = await watch({ "x-do": "edit", "x-b": "1", "x-c": "gone" });
  expect(down).toMatchObject({ filter: "busy", phase: "request", verdict: { kind: "proceed" }, body: "transformed" });
  expect(down?.edits).toEqual([
    { kind: "remove", name: "x-c", value: "" },
    { kind: "add", name: "x-b", value: "2" },
    { kind: "set", name: "x-a", value: "1" },
    { kind: "set", name: "metadata.who", value: "ada" },
  ]);
  expect(up).toMatchObject({ phase: "response", body: "touched" });
  expect(up?.edits).toEqual([
    { kind: "set", name: ":status", value: "404" },
    { kind: "set", name: "content-length", value: "7" },
  ]);
});

test.each(["reply", "throw"])("a handler that ends with %p changes nothing", async (what) => {
  const [down] = await watch({ "x-do": what });
  expect(down).toMatchObject({ verdict: { kind: what === "reply" ? "reply" : "failed" }, edits: [], body: "kept" });
});
