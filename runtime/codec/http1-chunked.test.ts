import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ChunkedDecoder } from "./http1-chunked.ts";

const LIMITS = { headMaxBytes: 4096, headersMax: 10 };

/** Feeds `text` in pieces of the given sizes; what came out and how it ended. */
function decode(text: string, sizes: readonly number[]) {
  const decoder = new ChunkedDecoder(LIMITS);
  const bytes = Buffer.from(text, "latin1");
  let body = "";
  let taken = 0;
  let turn = 0;
  const sink = { chunk: (chunk: Buffer, start: number, end: number) => void (body += chunk.latin1Slice(start, end)) };
  while (taken < bytes.length && !decoder.isDone && decoder.problem === "") {
    const piece = bytes.subarray(taken, taken + Math.max(1, sizes[turn++ % sizes.length] ?? 1));
    const before = taken;
    taken += decoder.feed(piece, 0, piece.length, sink);
    if (taken === before) break;
  }
  return { body, taken, isDone: decoder.isDone, problem: decoder.problem, trailers: [...(decoder.trailers ?? [])] };
}

describe("a well-formed body", () => {
  const chunk = fc.string({ minLength: 1, maxLength: 20, unit: fc.constantFrom("a", "\r", "\n", "0", ";") });
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });

  test("comes out whole, however it is cut, and what follows it is left", () => {
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 5 }), sizes, fc.boolean(), (chunks, cuts, hasTrailers) => {
        const trailers = hasTrailers ? "X-A: 1\r\nX-B: 2\r\n" : "";
        const wire = `${chunks.map((text) => `${text.length.toString(16)};e=1\r\n${text}\r\n`).join("")}000\r\n${trailers}\r\n`;
        const result = decode(`${wire}GET /next`, cuts);
        expect(result).toEqual({
          body: chunks.join(""),
          taken: wire.length,
          isDone: true,
          problem: "",
          trailers: hasTrailers
            ? [
                ["X-A", "1"],
                ["X-B", "2"],
              ]
            : [],
        });
      }),
    );
  });
});

describe("refused", () => {
  test.each([
    ["no size", "\r\nabc"],
    ["a sign", "+1\r\na\r\n"],
    ["0x", "0x1\r\na\r\n"],
    ["a space before the size", " 1\r\na\r\n"],
    ["a space after the size", "1 \r\na\r\n"],
    ["an underscore", "1_0\r\n"],
    ["a size of 13 digits", "0000000000001\r\na\r\n"],
    ["a bare LF after the size", "1\na\r\n"],
    ["a CR without LF after the size", "1\rXa\r\n"],
    ["a LF in an extension", "1;a\nb\r\na\r\n"],
    ["data longer than its size", "1\r\nab\r\n"],
    ["a long extension", `1;${"a".repeat(1100)}\r\na\r\n`],
    ["a folded trailer", "0\r\nX: 1\r\n y\r\n\r\n"],
    ["a trailer section beyond its limit", `0\r\nX: ${"a".repeat(5000)}\r\n\r\n`],
    ["too many trailers", `0\r\n${"X: 1\r\n".repeat(11)}\r\n`],
  ])("%s", (_, wire) => {
    for (const size of [1, 3, 8192]) {
      const { problem, isDone } = decode(wire, [size]);
      expect(problem).not.toBe("");
      expect(isDone).toBe(false);
    }
  });
});
