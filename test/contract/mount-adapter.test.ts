// One test file of an adapter runs on its source and on its component, and sees the same.
import { beforeAll, describe, expect, test } from "bun:test";
import { mount, type MountOptions } from "../../sdk/testing/index.ts";
import doorman from "../fixtures/doorman/filter.ts";
import gate from "../fixtures/gate/filter.ts";

beforeAll(async () => {
  await using _ = await mount(doorman, { engine: "component" });
}, 60_000);

describe.each(["source", "component"] as const)("an adapter mounted on engine %s", (engine) => {
  const start = (options: MountOptions = {}) => mount(doorman, { engine, ...options });

  test("is asked, charged and told", async () => {
    await using f = await start();
    f.upstream("keeper").reply((call) => new Response("", { status: call.body === "eve" ? 418 : 200 }));
    expect(await f.check({ attributes: { do: "ask", user: "ada" } })).toMatchObject({ verdict: "allow", granted: 0 });
    const refused = await f.check({ attributes: { do: "ask", user: "eve" } });
    expect(refused).toMatchObject({ verdict: "refuse", reply: { status: 418, headers: {}, body: "" } });
    expect(await f.check({ attributes: { do: "keep" } })).toMatchObject({ validForMs: 60_000, validUses: 3 });
    const seen = await f.check({ name: "door", value: "tea", attributes: { do: "see", fields: { a: "1" } } });
    expect(JSON.parse(seen.reply?.body ?? "")).toMatchObject({
      name: "door",
      value: "tea",
      attributes: { fields: { a: "1" } },
    });
    expect(seen.fuel > 0).toBe(engine === "component");

    expect(await f.quota({ amount: 10 })).toMatchObject({ verdict: "allow", granted: 10 });
    const half = { amount: 10, attributes: { do: "half" } };
    expect(await f.quota(half)).toMatchObject({ verdict: "refuse", granted: 0, reply: { status: 429 } });
    expect(await f.quota({ ...half, isBestEffort: true })).toMatchObject({ verdict: "allow", granted: 5 });

    const instances = [
      { name: "a", attributes: { user: "ada" } },
      { name: "b", value: "x" },
    ];
    expect(await f.report(instances)).toMatchObject({ verdict: "allow" });
    expect(f.upstream("keeper").requests.at(-1)?.json()).toEqual([
      { name: "a", attributes: { user: "ada" } },
      { name: "b", value: "x", attributes: {} },
    ]);
    expect(f.metric("doorman_asked_total", { phase: "report" })).toBe(2);
    expect(f.metric("doorman_asked_total", { phase: "check" })).toBe(4);
  });

  test("fails with the author's line, in time, and when its client leaves", async () => {
    await using f = await start({ limits: { deadlineMs: 500 } });
    const thrown = await f.check({ attributes: { do: "throw" } });
    expect(thrown).toMatchObject({
      verdict: "failed",
      failure: expect.stringMatching(/filter\.ts:\d+:\d+: Error: boom/u),
    });
    f.upstream("keeper").fail();
    expect((await f.report([{}])).verdict).toBe("failed");
    const late = f.check({ attributes: { do: "wait" } });
    await f.advance(500);
    expect(await late).toMatchObject({ verdict: "failed", failure: "has not decided within 500 ms" });
    const client = new AbortController();
    const left = f.check({ attributes: { do: "wait" } }, { signal: client.signal });
    client.abort();
    expect(await left).toMatchObject({ verdict: "failed", failure: "nobody waits for it any more" });
  });

  test("is asked nothing that no rule could ask", async () => {
    await using f = await start();
    expect(await messageOf(f.check({ attributes: { usr: "ada" } }))).toContain(
      "attributes.usr is not read by doorman, which reads do, user, size, admin, fields",
    );
    expect(await messageOf(f.check({ attributes: { size: "3" } }))).toContain(
      "attributes.size is a string, must be a number",
    );
    expect(await messageOf(f.check({ value: 3 }))).toContain("value is a number, must be a string");
    expect(await messageOf(f.quota({ amount: 0 }))).toContain("amount: 0 is not a whole number of 1 or more");
    expect(await messageOf(f.request())).toContain("adapter doorman sees no requests");
  });
});

test("a filter is asked nothing, and an adapter needs no live proxy", async () => {
  await using f = await mount(gate, { engine: "source" });
  expect(await messageOf(f.check())).toContain("is no adapter, and is asked nothing");
  expect(await messageOf(mount(doorman, { engine: "proxy" }))).toContain("doorman is an adapter");
});

/** Why it rejects. */
function messageOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "it was done",
    (error: unknown) => String(error),
  );
}
