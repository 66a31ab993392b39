// Replies that the proxy makes itself, in the language of a gRPC client: trailers only, with a status that its library
// understands. Without this it would see an HTTP error page and call it `UNKNOWN`.
import { EMPTY_BODY, type Body, type BodySink } from "../exchange/body.ts";
import type { Exchange, Layer, Outcome } from "../exchange/exchange.ts";
import { continued } from "../exchange/later.ts";
import type { Reply } from "../exchange/reply.ts";
import { encodeGrpcMessage, grpcStatusOf, isGrpcType } from "./status.ts";

/** Of a local reply's body this much becomes the message. */
const MESSAGE_MAX_BYTES = 1024;

/** Turns local replies to gRPC requests into gRPC's, as Envoy does, and notes the status of every gRPC reply. */
export const answerGrpc: Layer = (next) => {
  return function answerInGrpc(exchange) {
    // Every gRPC request is a POST, so that others pay for one comparison.
    if (exchange.method !== "POST") return next(exchange);
    exchange.isGrpc = isGrpcType(exchange.headers.get("content-type"));
    return continued(next(exchange), exchange, translated);
  };
};

function translated(outcome: Outcome, exchange: Exchange): Outcome {
  if (outcome.ok && exchange.isGrpc) translate(exchange, outcome.value);
  return outcome;
}

function translate(exchange: Exchange, reply: Reply): void {
  const given = reply.headers.get("grpc-status");
  if (given !== undefined || reply.details === "via_upstream") {
    exchange.grpcStatus = given ?? "";
    return;
  }
  const status = String(grpcStatusOf(reply.status));
  const message = readText(reply.body);
  const { headers } = reply;
  headers.set("content-type", exchange.isGrpcWeb ? "application/grpc-web+proto" : "application/grpc");
  headers.set("grpc-status", status);
  if (message !== "") headers.set("grpc-message", encodeGrpcMessage(message));
  headers.delete("content-length");
  // A browser's client reads the HTTP status; a gRPC client asks for 200.
  if (!exchange.isGrpcWeb) reply.status = 200;
  reply.reason = "";
  reply.body = EMPTY_BODY;
  exchange.grpcStatus = status;
}

/** The bytes that are there at once, which are all of a local reply's. */
function readText(body: Body): string {
  if (body.lengthBytes === 0) {
    body.cancel();
    return "";
  }
  const parts: Buffer[] = [];
  let room = MESSAGE_MAX_BYTES;
  const sink: BodySink = {
    write: (chunk, start, end) => {
      const length = Math.min(room, end - start);
      room -= length;
      parts.push(Buffer.from(chunk.subarray(start, start + length)));
      return true;
    },
    end: () => undefined,
    abort: () => undefined,
  };
  body.pipe(sink);
  return Buffer.concat(parts).toString("utf8");
}
