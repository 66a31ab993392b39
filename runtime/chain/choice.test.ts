// Who meets a candidate.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { makeExchange } from "../../sdk/testing/exchange.ts";
import { compileChoice } from "./choice.ts";

const share = (percent: number, by = "request.id") => compileChoice("default/a", { by, percent });

test("a share is about as large as it says, whatever ids look like", () => {
  for (const render of [(index: number) => `id-${index}`, () => crypto.randomUUID(), (index: number) => `${index}`]) {
    const exchanges = Array.from({ length: 20_000 }, (_, index) => makeExchange({ requestId: render(index) }));
    for (const percent of [1, 10, 50, 99]) {
      const chosen = exchanges.filter(share(percent)).length / 200;
      // Five standard deviations of so many draws.
      const spread = 5 * Math.sqrt((percent * (100 - percent)) / 20_000);
      expect(Math.abs(chosen - percent)).toBeLessThan(spread);
    }
  }
});

test("the same key is always chosen alike, and a larger share takes in all of a smaller one", () => {
  const percents = fc.double({ min: 0, max: 100, noNaN: true });
  fc.assert(
    fc.property(fc.string(), percents, percents, (requestId, a, b) => {
      const exchange = makeExchange({ requestId });
      expect(share(a)(exchange)).toBe(share(a)(makeExchange({ requestId })));
      expect(share(Math.min(a, b))(exchange) && !share(Math.max(a, b))(exchange)).toBe(false);
    }),
  );
});

test("none is none and all is all", () => {
  const exchange = makeExchange({ requestId: "" });
  expect([share(0)(exchange), share(100)(exchange)]).toEqual([false, true]);
});

test("exchanges that have a header in common meet the same version; those without it go by their ids", () => {
  const choose = share(50, "x-user");
  const of = (user: string, requestId: string) => choose(makeExchange({ requestId, headers: { "x-user": user } }));
  for (let user = 0; user < 50; user++) {
    const versions = new Set(Array.from({ length: 10 }, (_, index) => of(`user-${user}`, `${index}`)));
    expect(versions.size).toBe(1);
  }
  const without = new Set(Array.from({ length: 50 }, (_, index) => choose(makeExchange({ requestId: `${index}` }))));
  expect(without.size).toBe(2);
});

test("filters do not all try the same few callers", () => {
  const a = compileChoice("default/a", { by: "request.id", percent: 50 });
  const b = compileChoice("default/b", { by: "request.id", percent: 50 });
  const exchanges = Array.from({ length: 1000 }, (_, index) => makeExchange({ requestId: `${index}` }));
  const both = exchanges.filter((exchange) => a(exchange) && b(exchange)).length;
  expect(both).toBeWithin(200, 300);
});
