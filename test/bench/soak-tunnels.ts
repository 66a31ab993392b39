// Visitors of a soak whose bytes a proxy passes on unread: WebSocket, CONNECT, TCP, and TCP and HTTP within the mesh's mTLS.
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectSecure } from "node:tls";
import { ECHO_BYTE } from "./soak-upstream.ts";

/** What the mesh's clients show. */
export interface MeshClient {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Where the visitors go in. */
export interface TunnelEntrances {
  /** Outbound, to the host `app`. */
  readonly outboundPort: number;
  /** Inbound, `PERMISSIVE`. */
  readonly meshPort: number;
  /** The upstream itself, for CONNECT. */
  readonly upstreamPort: number;
  readonly client: MeshClient;
}

const WITHIN_MS = 10_000;
const PIECES = 40;
const PIECE = Buffer.alloc(8192, 0x2e);
const UPGRADE =
  "GET /ws HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const REPLY_BYTES = 100;

/** Each is one visit; it throws where something was lost. */
export function tunnelVisits(entrances: TunnelEntrances): readonly (() => Promise<void>)[] {
  const { outboundPort, meshPort, upstreamPort, client } = entrances;
  const target = `127.0.0.1:${upstreamPort}`;
  const ask = `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`;
  return [
    () => visit("a WebSocket", openPlain(outboundPort), (line) => tunnel(line, UPGRADE, "HTTP/1.1 101 ")),
    () => visit("a CONNECT", openPlain(outboundPort), (line) => tunnel(line, ask, "HTTP/1.1 200 ")),
    () => visit("TCP", openPlain(meshPort), echo),
    () => visit("TCP under mTLS", openMesh(meshPort, client, "istio"), echo),
    () => visit("HTTP under mTLS", openMesh(meshPort, client, "istio-http/1.1"), request),
  ];
}

/** Each begins and goes away in the middle: of a handshake, of a tunnel. */
export function tunnelLeavers({ outboundPort, meshPort, client }: TunnelEntrances): readonly (() => Promise<void>)[] {
  return [
    () => leave(openPlain(outboundPort), Buffer.from(UPGRADE)),
    () => leave(openPlain(meshPort), Buffer.concat([Buffer.of(ECHO_BYTE), PIECE])),
    () => leave(openMesh(meshPort, client, "istio"), Buffer.concat([Buffer.of(ECHO_BYTE), PIECE])),
  ];
}

function openPlain(port: number): Socket {
  return connectPlain({ host: "127.0.0.1", port, allowHalfOpen: true });
}

function openMesh(port: number, client: MeshClient, alpn: string): Socket {
  // What is measured is the server; whom it claims to be is tested elsewhere.
  return connectSecure({ host: "127.0.0.1", port, ALPNProtocols: [alpn], rejectUnauthorized: false, ...client });
}

/** A connection as bytes that came; waiting for some fails where it ends before. */
class Line {
  readonly socket: Socket;
  received = 0;
  text = "";
  #isEnded = false;
  #error: Error | undefined = undefined;
  #changed: (() => void) | undefined = undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.received += chunk.length;
      if (this.text.length < 1024) this.text += chunk.toString("latin1");
      this.#changed?.();
    });
    socket.on("end", () => {
      this.#isEnded = true;
      this.#changed?.();
    });
    socket.on("error", (error) => {
      this.#error = error;
      this.#changed?.();
    });
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    const timer = setTimeout(() => {
      this.#error ??= new Error("no answer in time");
      this.#changed?.();
    }, WITHIN_MS);
    try {
      while (!isSo()) {
        if (this.#error !== undefined) throw new Error(`${what}: ${this.#error.message} after ${this.received} bytes`);
        if (this.#isEnded) throw new Error(`${what}: the end after ${this.received} bytes`);
        await new Promise<void>((resolve) => {
          this.#changed = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

async function visit(what: string, socket: Socket, act: (line: Line) => Promise<void>): Promise<void> {
  const line = new Line(socket);
  try {
    await act(line);
  } catch (error) {
    throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    socket.destroy();
  }
}

/** Opens a tunnel by that request, through which the upstream echoes. */
async function tunnel(line: Line, asked: string, accepted: string): Promise<void> {
  line.socket.write(asked);
  await line.until("a reply", () => line.text.includes("\r\n\r\n"));
  if (!line.text.startsWith(accepted)) throw new Error(line.text.slice(0, 40));
  await echo(line);
}

/** All that is sent comes back, and after the end of what is sent the end comes too. */
async function echo(line: Line): Promise<void> {
  const before = line.received;
  line.socket.write(Buffer.of(ECHO_BYTE));
  for (let piece = 1; piece <= PIECES; piece++) {
    line.socket.write(PIECE);
    if (piece % 8 === 0) await line.until("the echo", () => line.received - before >= 1 + piece * PIECE.length);
  }
  line.socket.end();
  await line.until("the end", () => line.isEnded);
  if (line.received - before !== 1 + PIECES * PIECE.length) throw new Error(`${line.received - before} bytes came`);
}

async function request(line: Line): Promise<void> {
  for (let turn = 0; turn < PIECES; turn++) {
    line.received = 0;
    line.text = "";
    line.socket.write("GET / HTTP/1.1\r\nHost: app\r\n\r\n");
    await line.until("a reply", () => {
      const end = line.text.indexOf("\r\n\r\n");
      return end >= 0 && line.received >= end + 4 + REPLY_BYTES;
    });
    if (!line.text.startsWith("HTTP/1.1 200 ")) throw new Error(line.text.slice(0, 40));
  }
}

let lefts = 0;

async function leave(socket: Socket, bytes: Buffer): Promise<void> {
  socket.on("error", () => undefined);
  socket.write(bytes);
  await Bun.sleep(lefts++ % 5);
  socket.destroy();
}
