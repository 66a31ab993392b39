// Frames are the same wherever chunks begin and end, and what passes is what came.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { BytesHandler, Passed } from "./connection.ts";
import { delimited, lengthPrefixed, lines } from "./framing.ts";
import { carry, failureOf } from "./testing/connection.ts";

/** A text cut at those places, the last piece with the end. */
function cut(text: string, places: readonly number[], end = true) {
  const bytes = Buffer.from(text, "latin1");
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b);
  const edges = [0, ...cuts, bytes.length];
  return edges.slice(1).map((edge, index) => ({
    from: "downstream" as const,
    bytes: bytes.subarray(edges[index], edge),
    isEnd: end && index === edges.length - 2,
  }));
}

const places = fc.array(fc.nat(1000), { maxLength: 20 });

/** The frames that a framer saw, and what went on. */
async function frame(
  make: (handle: (frame: Uint8Array) => Passed | Promise<Passed>) => BytesHandler,
  text: string,
  at: readonly number[],
) {
  const seen: string[] = [];
  const carried = await carry(
    () => ({ downstream: make((bytes) => void seen.push(Buffer.from(bytes).toString("latin1"))) }),
    cut(text, at),
  );
  return { seen, carried };
}

const ofEight = () => ({ downstream: delimited({ delimiter: "\n", maxBytes: 8 }, () => undefined) });
const ofNegative = () => ({ downstream: lengthPrefixed({ lengthBytes: 1, adjustBytes: -3 }, () => undefined) });
const ofHundred = () => ({ downstream: lengthPrefixed({ lengthBytes: 4, maxBytes: 100 }, () => undefined) });

describe("delimited frames", () => {
  test("are those of split, and all of it goes on, at any cut", async () => {
    const text = fc.array(fc.constantFrom("a", "b", "|", "|-", "-")).map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(text, places, async (given, at) => {
        const { seen, carried } = await frame((handle) => delimited({ delimiter: "|-" }, handle), given, at);
        const parts = given.split("|-");
        const last = parts.pop() ?? "";
        expect(seen).toEqual([...parts.map((part) => `${part}|-`), ...(last === "" ? [] : [last])]);
        expect(carried.upstream).toBe(given);
      }),
    );
  });

  test("beyond the bound fail the call, whether their end has come or not", async () => {
    expect(await failureOf(carry(ofEight, cut("12345678\n", [])))).toContain("more than 8 bytes");
    expect(await failureOf(carry(ofEight, cut("123456789", [], false)))).toContain("more than 8 bytes");
    expect((await carry(ofEight, cut("1234567\n", [3]))).upstream).toBe("1234567\n");
  });
});

test("lines come without their ends", async () => {
  const seen: string[] = [];
  await carry(() => ({ downstream: lines({}, (line) => void seen.push(line)) }), cut("a\r\nb\n\n\rc", [1, 2, 4]));
  expect(seen).toEqual(["a", "b", "", "\rc"]);
});

describe("frames with a length", () => {
  const framed = fc.array(fc.string({ unit: "binary-ascii", maxLength: 300 }), { maxLength: 6 });

  test.each(["big", "little"] as const)("in %s endian are found at any cut", async (endian) => {
    await fc.assert(
      fc.asyncProperty(framed, places, async (bodies, at) => {
        const all = bodies.map((body) => {
          const head = Buffer.alloc(5, 7);
          if (endian === "big") head.writeUInt32BE(body.length + 4, 1);
          else head.writeUInt32LE(body.length + 4, 1);
          return head.toString("latin1") + body;
        });
        const { seen, carried } = await frame(
          (handle) => lengthPrefixed({ lengthBytes: 4, offsetBytes: 1, adjustBytes: -4, endian }, handle),
          all.join(""),
          at,
        );
        expect(seen).toEqual(all);
        expect(carried.upstream).toBe(all.join(""));
      }),
    );
  });

  test("that are cut by the end go on unseen", async () => {
    const { seen, carried } = await frame(
      (handle) => lengthPrefixed({ lengthBytes: 1 }, handle),
      "\u0002ab\u0009cd",
      [2],
    );
    expect(seen).toEqual(["\u0002ab"]);
    expect(carried.upstream).toBe("\u0002ab\u0009cd");
  });

  test("that say less than their head, or more than the bound, fail the call", async () => {
    expect(await failureOf(carry(ofNegative, cut("\u0002ab", [])))).toContain("says that it has 0 bytes");
    expect(await failureOf(carry(ofHundred, cut("\u0001\u0000\u0000\u0000", [], false)))).toContain(
      "more than 100 bytes",
    );
  });
});

/** `a` passes, `d` is dropped, `r` is replaced, `w` is answered and passes, `u` is announced, `c` closes. */
const handlers = (isLate: boolean) => (connection: Parameters<Parameters<typeof carry>[0]>[0]) => ({
  downstream: lines({}, (line): Passed | Promise<Passed> => {
    const decide = (): Passed => {
      if (line === "d") return "";
      if (line === "r") return ["R", "R\n"];
      if (line === "w") connection.write("downstream", "W\n");
      if (line === "u") connection.write("upstream", "U\n");
      if (line === "c") connection.close("asked");
      return undefined;
    };
    return isLate ? Promise.resolve().then(decide) : decide();
  }),
});

describe("what handlers of frames say", () => {
  test("applies in the order of the frames, at any cut, whether they wait or not", async () => {
    const text = fc
      .array(fc.constantFrom("a", "d", "r", "w", "u", "c"))
      .map((all) => all.map((one) => `${one}\n`).join(""));
    await fc.assert(
      fc.asyncProperty(text, places, fc.boolean(), async (given, at, isLate) => {
        const until = given.includes("c") ? given.slice(0, given.indexOf("c")) : given;
        const carried = await carry(handlers(isLate), cut(given, at));
        const upstream = until.replaceAll("d\n", "").replaceAll("r\n", "RR\n").replaceAll("u\n", "U\nu\n");
        expect(carried.upstream).toBe(upstream);
        expect(carried.downstream).toBe("W\n".repeat(until.split("w").length - 1));
        expect(carried.ending).toEqual(given.includes("c") ? { kind: "close", reason: "asked" } : undefined);
      }),
    );
  });
});
