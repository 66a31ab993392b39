// One end of an HTTP/2 connection that does exactly what a test says with each frame, right or wrong.
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { loadBlock, type BlockKind } from "../../runtime/codec/hpack-block.ts";
import { HpackDecoder } from "../../runtime/codec/hpack-decoder.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  FRAME_HEAD_BYTES,
  GOAWAY,
  HEADERS,
  PING,
  PREFACE,
  readUint31,
  readUint32,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  writeFrameHead,
  writeUint32,
} from "../../runtime/codec/http2-frames.ts";
import { until } from "./until.ts";

/** A frame that came. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** What came on one stream. */
export interface StreamRecord {
  /** Heads and trailers in order, pseudo-header fields first. */
  readonly heads: (readonly (readonly [string, string])[])[];
  body: Buffer;
  isEnded: boolean;
  /** Error code of the RST_STREAM that came. */
  reset: number | undefined;
}

/** A frame as bytes. */
export function frame(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  writeFrameHead(head, 0, payload.length, type, flags, id);
  return Buffer.concat([head, payload]);
}

/** A 32-bit payload. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  writeUint32(bytes, 0, value);
  return bytes;
}

/** The payload of SETTINGS. */
export function settings(pairs: readonly (readonly [number, number])[]): Buffer {
  return Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >>> 8, id]), uint32(value)])));
}

/** A header block of literals, never indexed: any field, allowed or not. */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])));
}

/** The head of a GET or of what `fields` make of it. */
export function request(
  path = "/",
  fields: readonly (readonly [string, string])[] = [],
  method = "GET",
): readonly (readonly [string, string])[] {
  return [[":method", method], [":scheme", "http"], [":authority", "test"], [":path", path], ...fields];
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const rest = [127];
  let left = bytes.length - 127;
  while (left >= 128) {
    rest.push((left & 127) | 128);
    left >>>= 7;
  }
  return Buffer.concat([Buffer.from([...rest, left]), bytes]);
}

interface Wire {
  write(bytes: Buffer): number;
  pause(): void;
  end(): void;
  terminate(): void;
}

/** One connection. Window updates are sent only when a test does; PING and SETTINGS are answered unless it says no. */
export class Http2Peer implements Disposable {
  readonly frames: Frame[] = [];
  readonly streams: Map<number, StreamRecord> = new Map();
  isClosed = false;
  acknowledges = true;
  /** Gives back what comes, on the stream and on the connection. */
  credits = true;
  goAway: { readonly last: number; readonly code: number; readonly debug: string } | undefined = undefined;
  readonly #kind: BlockKind;
  readonly #decoder = new HpackDecoder({ headMaxBytes: 1 << 20, headersMax: 10_000 });
  #wire: Wire | undefined = undefined;
  #unsent: Buffer[] = [];
  #received = Buffer.alloc(0);
  #prefaceBytes: number;
  #block: Buffer[] = [];
  /** Called for each frame after it was recorded. */
  onFrame: ((frame: Frame) => void) | undefined = undefined;

  constructor(side: "client" | "server") {
    this.#kind = side === "client" ? "reply" : "request";
    this.#prefaceBytes = side === "client" ? 0 : PREFACE.length;
  }

  attach(wire: Wire): void {
    this.#wire = wire;
    this.drain();
  }

  send(...bytes: readonly Buffer[]): void {
    this.#unsent.push(...bytes);
    this.drain();
  }

  headers(id: number, fields: readonly (readonly [string, string])[], flags: number = END_STREAM | END_HEADERS): void {
    this.send(frame(HEADERS, flags, id, block(fields)));
  }

  data(id: number, body: string | Buffer, isEnd = true): void {
    this.send(frame(DATA, isEnd ? END_STREAM : 0, id, Buffer.from(body)));
  }

  reset(id: number, code: number): void {
    this.send(frame(RST_STREAM, 0, id, uint32(code)));
  }

  stream(id: number): StreamRecord {
    let record = this.streams.get(id);
    if (record === undefined) {
      record = { heads: [], body: Buffer.alloc(0), isEnded: false, reset: undefined };
      this.streams.set(id, record);
    }
    return record;
  }

  /** Waits until the stream ended or was reset. */
  over(id: number): Promise<StreamRecord> {
    return until(`stream ${id} to be over`, () => {
      const record = this.stream(id);
      if (this.isClosed && !record.isEnded && record.reset === undefined)
        throw new Error(`the connection closed before stream ${id} was over: ${JSON.stringify(this.goAway)}`);
      return record.isEnded || record.reset !== undefined ? record : undefined;
    });
  }

  /** Waits until a PING that is sent now comes back: everything before it was handled. */
  async roundTrip(): Promise<void> {
    const before = this.#pongs();
    this.send(frame(PING, 0, 0, Buffer.from("roundtrp")));
    await until("a PING to come back", () => (this.#pongs() > before ? true : undefined));
  }

  /** Waits for the connection's end; the GOAWAY that came before it. */
  async ended(): Promise<{ readonly last: number; readonly code: number; readonly debug: string } | undefined> {
    await until("the connection to close", () => (this.isClosed ? true : undefined));
    return this.goAway;
  }

  /** Leaves what comes in the kernel, until it takes no more. */
  stopReading(): void {
    this.#wire?.pause();
  }

  drain(): void {
    while (this.#wire !== undefined && this.#unsent.length > 0 && !this.isClosed) {
      const bytes = Buffer.concat(this.#unsent);
      const sent = Math.max(0, this.#wire.write(bytes));
      this.#unsent = sent < bytes.length ? [bytes.subarray(sent)] : [];
      if (sent < bytes.length) return;
    }
  }

  closed(): void {
    this.isClosed = true;
  }

  end(): void {
    this.#wire?.end();
  }

  receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    const preface = Math.min(this.#prefaceBytes, this.#received.length);
    this.#received = this.#received.subarray(preface);
    this.#prefaceBytes -= preface;
    while (this.#received.length >= FRAME_HEAD_BYTES) {
      const length = this.#received.readUIntBE(0, 3);
      if (this.#received.length < FRAME_HEAD_BYTES + length) return;
      const one: Frame = {
        type: this.#received[3] ?? 0,
        flags: this.#received[4] ?? 0,
        id: readUint31(this.#received, 5),
        payload: Buffer.from(this.#received.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + length)),
      };
      this.#received = this.#received.subarray(FRAME_HEAD_BYTES + length);
      this.frames.push(one);
      this.#record(one);
      this.onFrame?.(one);
    }
  }

  [Symbol.dispose](): void {
    this.#wire?.terminate();
  }

  #pongs(): number {
    return this.frames.filter(({ type, flags }) => type === PING && flags === ACK).length;
  }

  #record(one: Frame): void {
    const { type, flags, id, payload } = one;
    if (type === HEADERS || type === CONTINUATION) this.#block.push(payload);
    if ((type === HEADERS || type === CONTINUATION) && (flags & END_HEADERS) !== 0) this.#head(id);
    if (type === DATA) {
      const record = this.stream(id);
      record.body = Buffer.concat([record.body, payload]);
      if (this.credits && payload.length > 0)
        this.send(
          frame(WINDOW_UPDATE, 0, 0, uint32(payload.length)),
          ...((flags & END_STREAM) === 0 ? [frame(WINDOW_UPDATE, 0, id, uint32(payload.length))] : []),
        );
    }
    if ((type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0) this.stream(id).isEnded = true;
    if (type === RST_STREAM) this.stream(id).reset = readUint32(payload, 0);
    if (type === GOAWAY)
      this.goAway = {
        last: readUint31(payload, 0),
        code: readUint32(payload, 4),
        debug: payload.toString("latin1", 8),
      };
    if (!this.acknowledges || (flags & ACK) !== 0) return;
    if (type === SETTINGS) this.send(frame(SETTINGS, ACK, 0));
    if (type === PING) this.send(frame(PING, ACK, 0, payload));
  }

  #head(id: number): void {
    const bytes = Buffer.concat(this.#block);
    this.#block = [];
    const record = this.stream(id);
    const isTrailers = record.heads.some((head) => !(head[0]?.[1] ?? "").startsWith("1"));
    const decoded = this.#decoder.decode(bytes, 0, bytes.length, isTrailers ? "trailers" : this.#kind);
    if (decoded === undefined || decoded.malformed !== "") throw new Error(`a bad block: ${decoded?.malformed ?? ""}`);
    const map = new HeaderMap();
    loadBlock(decoded, map);
    const pseudo: (readonly [string, string])[] = [];
    if (decoded.status > 0) pseudo.push([":status", String(decoded.status)]);
    if (decoded.method !== "")
      pseudo.push([":method", decoded.method], [":path", decoded.path], [":authority", decoded.authority]);
    if (decoded.protocol !== "") pseudo.push([":protocol", decoded.protocol]);
    // Kept for the next hop of HTTP/2, and so no part of the map.
    if (decoded.teField >= 0) pseudo.push(["te", "trailers"]);
    record.heads.push([...pseudo, ...map]);
  }
}

/** Connects and says the preface; with `isSilent`, nothing. */
export async function connectHttp2(
  port: number,
  pairs: readonly (readonly [number, number])[] = [],
  isSilent = false,
): Promise<Http2Peer> {
  const peer = new Http2Peer("client");
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      binaryType: "buffer",
      data: (_socket, chunk) => peer.receive(chunk),
      drain: () => peer.drain(),
      close: () => peer.closed(),
      error: () => peer.closed(),
    },
  });
  peer.attach(socket);
  if (!isSilent) peer.send(PREFACE, frame(SETTINGS, 0, 0, settings(pairs)));
  return peer;
}

/** An upstream that speaks HTTP/2 with prior knowledge; `script` is called for each frame of each connection. */
export interface Http2Upstream extends Disposable {
  readonly port: number;
  readonly connections: readonly Http2Peer[];
  /** Refuses new connections; those that are open go on. */
  stopAccepting(): void;
}

/** Listens; each connection says its SETTINGS at once, and with `allowHalfOpen` stays open after the other's FIN. */
export function startHttp2Upstream(
  script: (peer: Http2Peer, frame: Frame) => void,
  pairs: readonly (readonly [number, number])[] = [],
  allowHalfOpen = false,
): Http2Upstream {
  const connections: Http2Peer[] = [];
  const server = Bun.listen<{ peer: Http2Peer }>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen,
    socket: {
      binaryType: "buffer",
      open(socket) {
        const peer = new Http2Peer("server");
        socket.data = { peer };
        connections.push(peer);
        peer.onFrame = (one) => script(peer, one);
        peer.attach(socket);
        peer.send(frame(SETTINGS, 0, 0, settings(pairs)));
      },
      data: (socket, chunk) => socket.data.peer.receive(chunk),
      drain: (socket) => socket.data.peer.drain(),
      end: (socket) => void (allowHalfOpen || socket.end()),
      close: (socket) => socket.data.peer.closed(),
    },
  });
  return {
    port: server.port,
    connections,
    stopAccepting: () => server.stop(false),
    [Symbol.dispose]: () => {
      for (const peer of connections) peer[Symbol.dispose]();
      server.stop(true);
    },
  };
}
