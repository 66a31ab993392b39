import { expect, test } from "bun:test";
import fc from "fast-check";
import { bytesBody, type Body, type BodySink } from "../exchange/body.ts";
import type { Exchange, Service } from "../exchange/exchange.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { promised } from "../exchange/later.ts";
import { localReply, Reply } from "../exchange/reply.ts";
import { makeExchange } from "../../sdk/testing/exchange.ts";
import { answerGrpc } from "./local-reply.ts";
import { translateGrpcWeb } from "./web.ts";

/** A body that comes in these pieces, then these trailers. */
function piecesBody(pieces: readonly Buffer[], trailers?: HeaderMap): Body {
  return {
    lengthBytes: undefined,
    pipe: (sink) => {
      for (const piece of pieces) sink.write(piece, 0, piece.length);
      sink.end(trailers);
    },
    resume: () => undefined,
    cancel: () => undefined,
  };
}

interface Read {
  readonly bytes: Buffer;
  readonly trailers: HeaderMap | undefined;
  readonly failed: string;
}

function read(body: Body): Read {
  const parts: Buffer[] = [];
  let trailers: HeaderMap | undefined;
  let failed = "";
  const sink: BodySink = {
    write: (chunk, start, end) => parts.push(Buffer.from(chunk.subarray(start, end))) > 0,
    end: (given) => (trailers = given),
    abort: ({ kind }) => (failed = kind),
  };
  body.pipe(sink);
  return { bytes: Buffer.concat(parts), trailers, failed };
}

/** Sends a request through the translation to an upstream that answers `reply`; what each side saw. */
async function exchangeWith(init: Parameters<typeof makeExchange>[0], reply: Reply) {
  let seen: Exchange | undefined;
  const upstream: Service = (exchange) => {
    seen = exchange;
    return { ok: true, value: reply };
  };
  const exchange = makeExchange({ method: "POST", ...init });
  const outcome = await promised(answerGrpc(translateGrpcWeb(new Set([8080]))(upstream))(exchange));
  if (!outcome.ok || seen === undefined) throw new Error("no reply");
  return { seen, reply: outcome.value, exchange };
}

const OK_TRAILERS = () =>
  HeaderMap.from([
    ["Grpc-Status", "0"],
    ["x-cost", "7"],
  ]);

function grpcReply(pieces: readonly Buffer[], trailers?: HeaderMap): Reply {
  return new Reply(200, "", HeaderMap.from([["content-type", "application/grpc"]]), piecesBody(pieces, trailers));
}

const MESSAGE = Buffer.from([0, 0, 0, 0, 3, 1, 2, 3]);

test("binary: the message passes, trailers become the last frame", async () => {
  const { seen, reply } = await exchangeWith(
    { headers: { "content-type": "application/grpc-web+proto" }, body: bytesBody(MESSAGE) },
    grpcReply([MESSAGE], OK_TRAILERS()),
  );
  expect(seen.headers.get("content-type")).toBe("application/grpc");
  expect(seen.headers.get("te")).toBe("trailers");
  expect(read(seen.body).bytes).toEqual(MESSAGE);
  expect(reply.headers.get("content-type")).toBe("application/grpc-web+proto");
  const lines = "grpc-status: 0\r\nx-cost: 7\r\n";
  const { bytes, trailers } = read(reply.body);
  expect(bytes).toEqual(Buffer.concat([MESSAGE, Buffer.from([0x80, 0, 0, 0, lines.length]), Buffer.from(lines)]));
  expect(trailers).toBeUndefined();
});

test("text: any split of the base64 decodes and encodes to the same bytes", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 20 }),
      async (runs, cuts) => {
        // Each run is a base64 text of its own, padding included, as clients send a message at a time.
        const text = Buffer.from(runs.map((run) => Buffer.from(run).toString("base64")).join(""));
        const pieces: Buffer[] = [];
        for (let at = 0, turn = 0; at < text.length; turn++) {
          const next = at + (cuts[turn % cuts.length] ?? 1);
          pieces.push(text.subarray(at, next));
          at = next;
        }
        const whole = Buffer.concat(runs);
        const { seen, reply } = await exchangeWith(
          { headers: { "content-type": "application/grpc-web-text" }, body: piecesBody(pieces) },
          grpcReply(
            [...runs].map((run) => Buffer.from(run)),
            OK_TRAILERS(),
          ),
        );
        expect(read(seen.body)).toMatchObject({ bytes: whole, failed: "" });
        const answered = Buffer.from(read(reply.body).bytes.toString("latin1"), "base64");
        expect(answered.subarray(0, whole.length)).toEqual(whole);
        expect(answered.subarray(whole.length + 5).toString()).toBe("grpc-status: 0\r\nx-cost: 7\r\n");
      },
    ),
  );
});

test.each(["a b=", "====", "YQ", "YQ=a"])("text %p is refused, not guessed at", async (text) => {
  const { seen } = await exchangeWith(
    { headers: { "content-type": "application/grpc-web-text" }, body: bytesBody(Buffer.from(text)) },
    grpcReply([]),
  );
  expect(read(seen.body).failed).toBe("bad_request");
});

test("another request passes untouched", async () => {
  const body = bytesBody(Buffer.from("a=1"));
  const { seen, reply } = await exchangeWith(
    { headers: { "content-type": "application/grpc-webx" }, body },
    localReply(200, "ok", "via_upstream"),
  );
  expect(seen.body).toBe(body);
  expect(seen.headers.has("te")).toBe(false);
  expect(read(reply.body).bytes.toString()).toBe("ok");
});

test("the proxy's own reply to gRPC is trailers only", async () => {
  const { reply, exchange } = await exchangeWith(
    { headers: { "content-type": "application/grpc" } },
    localReply(503, "no healthy upstream", "no_healthy_upstream"),
  );
  expect(reply.status).toBe(200);
  expect([...reply.headers]).toEqual([
    ["content-type", "application/grpc"],
    ["grpc-status", "14"],
    ["grpc-message", "no healthy upstream"],
  ]);
  expect(reply.body.lengthBytes).toBe(0);
  expect(exchange.grpcStatus).toBe("14");
});

test("to gRPC-Web it keeps its HTTP status, which a browser reads", async () => {
  const { reply } = await exchangeWith(
    { headers: { "content-type": "application/grpc-web" } },
    localReply(403, "", "denied"),
  );
  expect(reply.status).toBe(403);
  expect(reply.headers.get("grpc-status")).toBe("7");
});

test("a reply of the upstream to gRPC stays as it is", async () => {
  const { reply } = await exchangeWith(
    { headers: { "content-type": "application/grpc" } },
    localReply(503, "upstream's own page", "via_upstream"),
  );
  expect(reply.status).toBe(503);
  expect(read(reply.body).bytes.toString()).toBe("upstream's own page");
});
