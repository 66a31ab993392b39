import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compileBalancer, compileWeights, type Candidate } from "./balancer.ts";

interface Named extends Candidate {
  readonly name: string;
}

function named(name: string, weight = 1, activeRequests = 0): Named {
  return { name, weight, activeRequests };
}

/** The numbers, over and over. */
function cycle(...numbers: readonly number[]): () => number {
  let at = 0;
  return () => numbers[at++ % numbers.length] ?? 0;
}

test.each(["round_robin", "least_request", "random"] as const)(
  "%s picks nothing from nothing and one from one",
  (policy) => {
    expect(compileBalancer(policy, [], cycle(0.5))()).toBeUndefined();
    expect(compileBalancer(policy, [named("a")], cycle(0.99))()?.name).toBe("a");
  },
);

describe("round robin", () => {
  test("takes turns from a random start", () => {
    const pick = compileBalancer("round_robin", [named("a"), named("b"), named("c")], cycle(0.4));
    expect([pick(), pick(), pick(), pick()].map((one) => one?.name)).toEqual(["b", "c", "a", "b"]);
  });

  test("spreads unequal weights instead of sending bursts", () => {
    const pick = compileBalancer("round_robin", [named("a", 5), named("b"), named("c")], cycle(0));
    expect(Array.from({ length: 7 }, () => pick()?.name).join("")).toBe("aabacaa");
  });

  test("gives every endpoint its exact share in each round", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 6 }), (weights) => {
        const all = weights.map((weight, index) => named(String(index), weight));
        const pick = compileBalancer("round_robin", all, cycle(0));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const even = weights.every((weight) => weight === weights[0]);
        const rounds = even ? weights.length : total;
        const counts = weights.map(() => 0);
        for (let turn = 0; turn < rounds; turn++) {
          const index = Number(pick()?.name);
          counts[index] = (counts[index] ?? 0) + 1;
        }
        expect(counts).toEqual(even ? weights.map(() => 1) : weights);
      }),
    );
  });
});

describe("least request", () => {
  test("takes the less loaded of two", () => {
    const pick = compileBalancer("least_request", [named("busy", 1, 9), named("free", 1, 1)], cycle(0, 0.9));
    expect(pick()?.name).toBe("free");
  });

  test("measures load for each unit of weight", () => {
    const pick = compileBalancer("least_request", [named("large", 10, 5), named("small", 1, 1)], cycle(0, 0.99));
    expect(pick()?.name).toBe("large");
  });
});

test("a draw by weight covers [0, 1) and never takes weight 0", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 6 }),
      fc.double({ min: 0, max: 0.999_999, noNaN: true }),
      (weights, at) => {
        const index = compileWeights(weights)(at);
        if (weights.every((weight) => weight === 0)) expect(index).toBe(-1);
        else expect(weights[index] ?? 0).toBeGreaterThan(0);
      },
    ),
  );
});
