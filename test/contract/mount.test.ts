// One test file runs on a filter's source, on its component and on a live proxy, and sees the same.
import { beforeAll, describe, expect, test } from "bun:test";
import { mount, type EngineName, type MountOptions } from "../../sdk/testing/index.ts";
import gate from "../fixtures/gate/filter.ts";

const ENGINES: readonly EngineName[] = ["source", "component", "proxy"];

beforeAll(async () => {
  await using _ = await mount(gate, { engine: "component" });
}, 60_000);

async function drawRandom(options: MountOptions): Promise<string | undefined> {
  await using f = await mount(gate, options);
  return (await f.request("/", { headers: { "x-do": "random" } })).forwarded?.headers["x-seen"];
}

describe.each([...ENGINES])("a filter mounted on engine %s", (engine) => {
  const start = (options: MountOptions = {}) => mount(gate, { engine, ...options });

  test("goes on with its edits, and the service answers", async () => {
    await using f = await start();
    f.service.reply({ status: 201, headers: { "x-from": "service" }, body: "made" });
    const out = await f.request("/a?b=c", { method: "PUT", headers: { "x-user": "ada", "X-Other": "1" }, body: "in" });
    expect(out.verdict).toBe("proceed");
    expect(out.forwarded).toMatchObject({ method: "PUT", path: "/a?b=c", authority: "reviews", body: "in" });
    expect(out.forwarded?.headers).toEqual({ "content-length": "2", "x-user": "ada", "x-other": "1" });
    expect(out.reply).toMatchObject({ status: 201, body: "made" });
    expect(out.reply.headers).toEqual({ "content-length": "4", "x-from": "service", "x-answer": "/a?b=c" });
    expect(out.edits).toEqual([{ phase: "response", kind: "set", name: "x-answer", value: "/a?b=c" }]);
    expect(out.logs).toEqual([{ level: "debug", message: "over", fields: { status: 201 } }]);
    expect(out.fuel > 0).toBe(engine !== "source");
    expect(f.fuelUsed).toBe(out.fuel);
  });

  test("replies itself", async () => {
    await using f = await start({ config: { blocked: ["eve"] } });
    const out = await f.request("https://shop.example/x", { headers: { "x-user": "eve" } });
    expect(out.verdict).toBe("reply");
    expect(out.forwarded).toBeUndefined();
    expect(out.reply).toMatchObject({ status: 403, body: "not eve\n" });
    expect(out.logs[0]).toEqual({ level: "info", message: "turned away", fields: { user: "eve" } });
  });

  test("calls upstreams that the test answers, measures and leaves values", async () => {
    await using f = await start();
    f.upstream("authz").reply((call) => new Response("no", { status: call.body.includes("ada") ? 200 : 403 }));
    const allowed = await f.request("/", { headers: { "x-do": "ask", "x-user": "ada" } });
    expect(allowed.metadata).toEqual({ user: "ada" });
    const denied = await f.request("/", { headers: { "x-do": "ask" } });
    expect(denied.reply).toMatchObject({ status: 401, body: "no" });
    expect(f.upstream("authz").requests.map(({ method, path, json }) => [method, path, json()])).toEqual([
      ["POST", "/check", { user: "ada" }],
      ["POST", "/check", { user: "nobody" }],
    ]);
    // Of the handlers' runs before the first request, nothing is counted.
    expect(["yes", "no", "none"].map((result) => f.metric("asked_total", { result }))).toEqual([1, 1, 1]);
    expect(f.metric("asked_total")).toBe(3);
    expect(() => f.metric("askt_total")).toThrow("there are asked_total, ticks_total");
  });

  test("an upstream's answer that the test forgot fails the test, and says what to add", async () => {
    await using f = await start();
    const error: unknown = await f.request("/", { headers: { "x-do": "ask" } }).catch((reason: unknown) => reason);
    expect(String(error)).toContain(
      'the filter called upstream "authz" (POST /check), which the test does not answer: add f.upstream("authz").reply(…)',
    );
    expect(() => f.upstream("other")).toThrow('declares no upstream "other"; there are authz');
  });

  test("an expectation that does not hold where an upstream answers fails the test", async () => {
    await using f = await start();
    f.upstream("authz").reply(() => {
      throw new Error("expected something else");
    });
    const error: unknown = await f.request("/", { headers: { "x-do": "ask" } }).catch((reason: unknown) => reason);
    expect(String(error)).toContain("expected something else");
  });

  test("an upstream that fails, or answers after its time, is an error to the filter", async () => {
    await using f = await start();
    f.upstream("authz").fail();
    const failed = await f.request("/", { headers: { "x-do": "ask" } });
    expect(failed).toMatchObject({ verdict: "failed", reply: { status: 503 } });
    f.upstream("authz").hang();
    const late = f.request("/", { headers: { "x-do": "ask" } });
    await f.advance("2s");
    expect((await late).failure).toContain("no whole reply within 1000 ms");
  });

  test("the clock stands until it is moved; timers and deadlines run when they are due", async () => {
    await using f = await start({ now: "2026-01-31T12:00:00Z" });
    await f.advance("150s");
    expect(f.metric("ticks_total")).toBe(2);
    const { forwarded } = await f.request("/", { headers: { "x-do": "date" } });
    expect(forwarded?.headers["x-seen"]).toBe("2026-01-31T12:02:30.000Z");
    expect(new Date().toISOString()).toBe("2026-01-31T12:02:30.000Z");
    const slept = f.request("/", { headers: { "x-do": "sleep" } });
    await f.advance("5s");
    expect(await slept).toMatchObject({ verdict: "failed", reply: { status: 503 } });
    expect((await slept).failure).toContain("has not decided within 5000 ms");
  });

  test("randomness follows from a seed, the same on every engine, and is not the same without one", async () => {
    expect(await drawRandom({ engine, seed: 1 })).toBe("0.5698789649177343 0.7646945475134999");
    expect(await drawRandom({ engine, seed: 2 })).not.toBe(await drawRandom({ engine, seed: 1 }));
    expect(await drawRandom({ engine })).not.toBe(await drawRandom({ engine }));
  });

  test("bodies come in pieces, with trailers, both ways", async () => {
    await using f = await start();
    f.service.reply({ body: ["one", "two"], trailers: { "x-sum": "6" } });
    const out = await f.request("/", {
      headers: { "x-do": "rewrite" },
      body: ["a", "b", "c"],
      trailers: { "x-end": "yes" },
    });
    expect(out.forwarded).toMatchObject({ body: "abc", trailers: { "x-end": "yes" } });
    expect(out.reply).toMatchObject({ status: 202, trailers: { "x-sum": "6" }, aborted: undefined });
    expect(out.reply.body).toMatch(/^onetwo \([12] pieces\)$/u);
    const upper = await f.request("/", { headers: { "x-do": "body" }, body: ["a", "b"] });
    expect(upper.forwarded?.body).toBe("AB");
  });

  test("a client that leaves is told to the filter", async () => {
    await using f = await start();
    const client = new AbortController();
    const left = f.request("/", { headers: { "x-do": "sleep" }, signal: client.signal });
    await f.advance(0);
    client.abort(new Error("left"));
    expect(String(await left.catch((reason: unknown) => reason))).toBe("Error: left");
  });

  test("a failure follows the failure policy", async () => {
    await using closed = await start();
    const failed = await closed.request("/", { headers: { "x-do": "throw", "x-user": "ada" } });
    expect(failed).toMatchObject({ verdict: "failed", forwarded: undefined, reply: { status: 503 } });
    expect(failed.failure).toMatch(
      /^filter gate: filter\.ts:65:\d+: TypeError: no such user: ada\n {4}at filter\.ts:27:\d+/u,
    );
    await using open = await start({ failurePolicy: "open" });
    const passed = await open.request("/", { headers: { "x-do": "throw" } });
    expect(passed).toMatchObject({ verdict: "failed", reply: { status: 200, body: "ok" } });
  });

  test("a configuration that is wrong is told by its path", async () => {
    const error: unknown = await start({ config: { blocked: "eve" } }).catch((reason: unknown) => reason);
    expect(String(error)).toContain("config.blocked");
  });
});

describe.each([...ENGINES].slice(1))("a rejection that nobody handles, on engine %s", (engine) => {
  test.each(["float", "float and wait"])("fails the call that left it, with its line: %s", async (what) => {
    await using f = await mount(gate, { engine });
    const out = await f.request("/", { headers: { "x-do": what } });
    expect(out).toMatchObject({ verdict: "failed", reply: { status: 503 } });
    expect(out.failure).toMatch(
      /^filter gate: filter\.ts:65:\d+: unhandled rejection: TypeError: no such user: nobody/u,
    );
    expect((await f.request("/")).verdict).toBe("proceed");
  });
});

test("a filter without a tcp handler has no connections", async () => {
  await using f = await mount(gate, { engine: "source" });
  expect(String(await f.connect().catch((reason: unknown) => reason))).toContain("filter gate has no tcp handler");
});
