// A body's pieces on their way through a filter that thinks about them.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Body, BodySink } from "../exchange/body.ts";
import { TransformedBody } from "./transformed-body.ts";

/** A source that writes what a test says, when it says so. */
class Source implements Body {
  readonly lengthBytes = undefined;
  sink: BodySink | undefined = undefined;
  pipe(sink: BodySink): void {
    this.sink = sink;
  }
  resume(): void {}
  cancel(): void {}
}

test("pieces keep their order, however large they are and whenever the filter thinks", async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }), async (lengths, thinks) => {
      const source = new Source();
      let taken = 0;
      const body = new TransformedBody(source, {
        take: () => {
          const isThinking = thinks[taken++ % thinks.length] === true;
          return isThinking ? Promise.resolve({ kind: "pass" }) : { kind: "pass" };
        },
        cancel: () => undefined,
      });
      const { promise, resolve } = Promise.withResolvers<Buffer>();
      const pieces: Buffer[] = [];
      body.pipe({
        write: (chunk, start, end) => pieces.push(Buffer.from(chunk.subarray(start, end))) > 0,
        end: () => resolve(Buffer.concat(pieces)),
        abort: (cause) => resolve(Buffer.from(cause.message)),
      });
      const written = lengths.map((length, index) => Buffer.alloc(length, index + 1));
      // A number at each place, so that no two pieces are alike.
      for (const chunk of written) for (let at = 0; at + 4 <= chunk.length; at += 1000) chunk.writeUInt32LE(at, at);
      for (const chunk of written) source.sink?.write(chunk, 0, chunk.length);
      source.sink?.end(undefined);
      expect(Buffer.compare(await promise, Buffer.concat(written))).toBe(0);
    }),
    { numRuns: 50 },
  );
});

test("what a sink wakes the source for while pieces are handed on comes behind them, and the end last", async () => {
  const source = new Source();
  const waiting = ["c", "d"];
  source.resume = () => {
    const next = waiting.shift();
    if (next === undefined) return;
    source.sink?.write(Buffer.from(next), 0, 1);
    if (waiting.length === 0) source.sink?.end(undefined);
  };
  const body = new TransformedBody(source, { take: () => Promise.resolve({ kind: "pass" }), cancel: () => undefined });
  const { promise, resolve } = Promise.withResolvers<string>();
  let read = "";
  body.pipe({
    write: (chunk, start, end) => {
      read += chunk.toString("latin1", start, end);
      body.resume();
      return true;
    },
    end: () => resolve(read),
    abort: (cause) => resolve(cause.message),
  });
  for (const piece of ["a", "b"]) source.sink?.write(Buffer.from(piece), 0, 1);
  expect(await promise).toBe("abcd");
});
