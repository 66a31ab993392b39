// gRPC-Web (PROTOCOL-WEB): what a browser can send, translated to gRPC and back. Trailers, which a browser cannot read,
// become the last frame of the body; in the text form the body is base64 both ways.
import type { Body } from "../exchange/body.ts";
import type { Exchange, Layer } from "../exchange/exchange.ts";
import { failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { continued } from "../exchange/later.ts";
import { RecodedBody } from "../exchange/recoded-body.ts";
import type { Reply } from "../exchange/reply.ts";
import { isGrpcType } from "./status.ts";

const WEB_TYPE = /^application\/grpc-web(-text)?(?:$|[+;])/iu;
/** First byte of the frame that holds the trailers. */
const TRAILERS_FLAG = 0x80;
const NO_BYTES = Buffer.alloc(0);

/**
 * Requests of gRPC-Web that came in at these ports go on as gRPC, their replies come back as gRPC-Web; others pass
 * untouched, since an application may speak gRPC-Web itself.
 */
export function translateGrpcWeb(ports: ReadonlySet<number>): Layer {
  return (next) => {
    return function translateExchange(exchange) {
      if (exchange.method !== "POST" || !ports.has(exchange.downstream.localPort)) return next(exchange);
      const type = WEB_TYPE.exec(exchange.headers.get("content-type") ?? "");
      if (type === null) return next(exchange);
      const isText = type[1] !== undefined;
      const acceptsText = WEB_TYPE.exec(exchange.headers.get("accept") ?? "")?.[1] !== undefined;
      toGrpc(exchange, isText);
      return continued(next(exchange), exchange, (outcome) => {
        if (outcome.ok) toWeb(outcome.value, isText || acceptsText);
        return outcome;
      });
    };
  };
}

function toGrpc(exchange: Exchange, isText: boolean): void {
  const { headers } = exchange;
  exchange.isGrpc = true;
  exchange.isGrpcWeb = true;
  headers.set("content-type", "application/grpc");
  headers.set("te", "trailers");
  if (!headers.has("grpc-accept-encoding")) headers.append("grpc-accept-encoding", "identity");
  if (!isText) return;
  headers.delete("content-length");
  exchange.body = new DecodedBody(exchange.body);
}

function toWeb(reply: Reply, isText: boolean): void {
  const { headers } = reply;
  // An error page is none of ours; a client of gRPC-Web reads its status.
  if (!isGrpcType(headers.get("content-type"))) return;
  headers.set("content-type", isText ? "application/grpc-web-text+proto" : "application/grpc-web+proto");
  // Trailers only: they are in the head already, and there a browser can read them.
  if (headers.has("grpc-status")) return;
  headers.delete("content-length");
  reply.body = new WebBody(reply.body, isText);
}

/** A gRPC reply's body with its trailers as the last frame, in base64 where the client asked for text. */
class WebBody extends RecodedBody {
  readonly #isText: boolean;
  /** Bytes (at most two) that do not fill a base64 group yet. */
  #left: Buffer = NO_BYTES;

  constructor(body: Body, isText: boolean) {
    // Even where the message has no bytes there is the frame of its trailers.
    super(body, undefined);
    this.#isText = isText;
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    if (!this.#isText) return this.sink?.write(chunk, start, end) ?? true;
    const bytes = Buffer.concat([this.#left, chunk.subarray(start, end)]);
    const whole = bytes.length - (bytes.length % 3);
    this.#left = bytes.subarray(whole);
    return whole === 0 ? true : this.#writeText(bytes.subarray(0, whole));
  }

  end(trailers: HeaderMap | undefined): void {
    const frame = trailersFrame(trailers);
    if (this.#isText) this.#writeText(Buffer.concat([this.#left, frame]));
    else this.sink?.write(frame, 0, frame.length);
    this.sink?.end(undefined);
  }

  #writeText(bytes: Buffer): boolean {
    const text = Buffer.from(bytes.toString("base64"), "latin1");
    return this.sink?.write(text, 0, text.length) ?? true;
  }
}

/** Flag, length (4 bytes, big-endian), then a line for each trailer, names in lower case. */
function trailersFrame(trailers: HeaderMap | undefined): Buffer {
  let text = "";
  for (const [name, value] of trailers ?? []) text += `${name.toLowerCase()}: ${value}\r\n`;
  const frame = Buffer.alloc(5 + text.length);
  frame[0] = TRAILERS_FLAG;
  frame.writeUInt32BE(text.length, 1);
  frame.latin1Write(text, 5);
  return frame;
}

/** A request's body out of base64. A client may end a group with `=` and go on with the next one. */
class DecodedBody extends RecodedBody {
  /** Characters (at most three) that do not fill a group yet. */
  #left = "";

  constructor(body: Body) {
    super(body, body.lengthBytes === 0 ? 0 : undefined);
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    const text = this.#left + chunk.latin1Slice(start, end);
    const whole = text.length - (text.length % 4);
    this.#left = text.slice(whole);
    if (whole === 0) return true;
    const bytes = decodeGroups(text.slice(0, whole));
    if (bytes === undefined) return this.#refuse();
    return this.sink?.write(bytes, 0, bytes.length) ?? true;
  }

  end(trailers: HeaderMap | undefined): void {
    if (this.#left !== "") this.#refuse();
    else this.sink?.end(trailers);
  }

  #refuse(): boolean {
    const sink = this.sink;
    this.sink = undefined;
    sink?.abort(failure("bad_request", "the gRPC-Web text is not base64"));
    return true;
  }
}

/** Whole groups of four characters; `undefined` where one is none. */
function decodeGroups(text: string): Buffer | undefined {
  if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/u.test(text)) return undefined;
  if (!text.includes("=")) return Buffer.from(text, "base64");
  // Padding in the middle ends a run; Buffer would stop there.
  return Buffer.concat((text.match(/[^=]+={0,2}/gu) ?? []).map((run) => Buffer.from(run, "base64")));
}
