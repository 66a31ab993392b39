// What `isolation: "request"` promises, in every sandbox: an exchange finds nothing of those before it and beside it.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Filter, Verdict } from "../../runtime/chain/filter.ts";
import { makeExchange, startClock, type TestClock } from "../../sdk/testing/exchange.ts";
import isolated from "../fixtures/isolated/filter.ts";
import { subjectsOf, unwrap } from "./subjects.ts";

const sandboxes = subjectsOf(isolated, join(import.meta.dir, "../fixtures/isolated/filter.ts")).filter(
  ({ engine }) => engine !== "native",
);

describe.each(sandboxes.map((subject) => [subject.engine, subject] as const))("in engine %s", (_, subject) => {
  let clock: TestClock;
  let filter: Filter;
  beforeEach(async () => {
    clock = startClock();
    filter = unwrap(await subject.build({ limits: { fuel: 2_000_000 } }, { clock }));
  }, 60_000);
  afterEach(() => filter.stop());

  async function ask(
    user: string,
    what = "",
  ): Promise<{ readonly verdict: Verdict; readonly found: string | undefined }> {
    const exchange = makeExchange({ headers: { "x-user": user, "x-do": what } }, clock);
    const verdict = await filter.request?.(exchange);
    if (verdict === undefined) throw new Error("expected a verdict");
    return { verdict, found: exchange.headers.get("x-found") };
  }

  test("each exchange finds a guest as it was born, and what is shared by design", async () => {
    for (let turn = 1; turn <= 20; turn++) {
      const user = `user-${turn}`;
      expect((await ask(user)).found).toBe(`1 ${user} ${user} ${turn}`);
    }
  });

  test("those that wait beside each other too, however many", async () => {
    const users = Array.from({ length: 12 }, (_unused, index) => `user-${index}`);
    for (let turn = 0; turn < 3; turn++) {
      const asked = users.map((user) => ask(user, "wait"));
      clock.advance(1);
      const found = await Promise.all(asked);
      for (const [index, { found: text }] of found.entries())
        expect(text).toStartWith(`1 user-${index} user-${index} `);
    }
  });

  test("after one whose memory grew, one that threw and one that did not end", async () => {
    for (const what of ["grow", "throw", "loop", "grow", "grow"]) {
      expect((await ask("ada", what)).verdict.kind).toBe(what === "grow" ? "proceed" : "failed");
      expect((await ask("bob")).found).toStartWith("1 bob bob ");
    }
  });

  test("random numbers are not those of the exchange before", async () => {
    const drawn = new Set<string | undefined>();
    for (let turn = 0; turn < 10; turn++) drawn.add((await ask("ada", "random")).found);
    expect(drawn.size).toBe(10);
  });
});
