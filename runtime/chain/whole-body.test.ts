import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Body, BodySink } from "../exchange/body.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { Reply } from "../exchange/reply.ts";
import { readWhole } from "./whole-body.ts";

/** A body whose pieces a test hands in. */
class Source implements Body {
  readonly lengthBytes = undefined;
  isCancelled = false;
  sinks: BodySink[] = [];

  pipe(sink: BodySink): void {
    this.sinks.push(sink);
  }

  resume(): void {}

  cancel(): void {
    this.isCancelled = true;
  }

  write(text: string): void {
    const chunk = Buffer.from(text);
    for (const sink of this.sinks) sink.write(chunk, 0, chunk.length);
  }

  end(trailers?: HeaderMap): void {
    for (const sink of this.sinks) sink.end(trailers);
  }

  abort(cause: Failure): void {
    for (const sink of this.sinks) sink.abort(cause);
  }
}

/** What somebody got who took a body. */
class Taker implements BodySink {
  text = "";
  ended: HeaderMap | "without trailers" | Failure | undefined = undefined;

  write(chunk: Buffer, start: number, end: number): boolean {
    this.text += chunk.toString("latin1", start, end);
    return true;
  }

  end(trailers: HeaderMap | undefined): void {
    this.ended = trailers ?? "without trailers";
  }

  abort(cause: Failure): void {
    this.ended = cause;
  }
}

function replyOf(source: Source): Reply {
  return new Reply(200, "", new HeaderMap(), source);
}

test("whoever gets a message whose body is being read gets it whole, and once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.stringMatching(/^[a-z]{0,9}$/u)), fc.nat(), async (pieces, at) => {
      const source = new Source();
      const reply = replyOf(source);
      const trailers = HeaderMap.from([["x-sum", "1"]]);
      const reading = readWhole(reply, 1000);
      const taker = new Taker();
      const takenAt = at % (pieces.length + 1);
      pieces.forEach((piece, index) => {
        if (index === takenAt) reply.body.pipe(taker);
        source.write(piece);
      });
      if (takenAt === pieces.length) reply.body.pipe(taker);
      expect(taker.text).toBe("");
      source.end(trailers);
      expect(taker).toMatchObject({ text: pieces.join(""), ended: trailers });
      expect(source.sinks).toHaveLength(1);
      expect(await reading).toEqual({ ok: true, value: Buffer.from(pieces.join("")) });
    }),
  );
});

test("a body that is lost while it is read is lost to whoever got the message", async () => {
  const source = new Source();
  const reply = replyOf(source);
  const reading = readWhole(reply, 1000);
  const cause = failure("downstream_closed", "the client left");
  const [early, late] = [new Taker(), new Taker()];
  const { body } = reply;
  body.pipe(early);
  source.write("half");
  source.abort(cause);
  body.pipe(late);
  for (const taker of [early, late]) expect(taker).toMatchObject({ text: "", ended: cause });
  expect(await reading).toEqual({ ok: false, error: cause });
});

test("one beyond the limit goes no further", async () => {
  const source = new Source();
  const reply = replyOf(source);
  const reading = readWhole(reply, 5);
  const taker = new Taker();
  reply.body.pipe(taker);
  source.write("sixsix");
  expect(source.isCancelled).toBe(true);
  expect(taker).toMatchObject({ text: "", ended: { kind: "filter_failed" } });
  expect(await reading).toMatchObject({ ok: false, error: { kind: "filter_failed" } });
});

test("whoever wants it no more ends the reading", () => {
  const source = new Source();
  const reply = replyOf(source);
  void readWhole(reply, 1000);
  reply.body.cancel();
  expect(source.isCancelled).toBe(true);
});
