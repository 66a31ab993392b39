// Connections whose bytes are not HTTP, in a test: a client and an upstream of the test's own, and the filter between them in
// a live proxy, natively or as the component, as it is mounted. The clock is the test's.
import { renderProblem } from "../../runtime/contract/problem.ts";
import { bytesOf, type Content } from "../content.ts";
import { buildComponent } from "./component.ts";
import type { EngineName, EngineParts } from "./engine.ts";
import { startLocalProxy, type LocalProxy } from "./local-proxy.ts";
import { quiet } from "./quiet.ts";

/** One connection through the filter. What each side got is Latin-1 text. */
export interface TestConnection {
  /** The client sends. Resolves when what came of it has arrived. */
  send(content: Content): Promise<void>;
  /** The client is done, and still reads. */
  end(): Promise<void>;
  /** The upstream sends. */
  answer(content: Content): Promise<void>;
  /** What reached the upstream so far. */
  readonly forwarded: string;
  /** What reached the client so far. */
  readonly received: string;
  /** Whether the client's connection was closed. */
  readonly isClosed: boolean;
}

/** A proxy for a mounted filter's connections. */
export class ConnectionStand {
  readonly #proxy: LocalProxy;
  readonly #upstream: Bun.TCPSocketListener<Peer>;
  readonly #clients: Bun.Socket<Peer>[] = [];
  readonly #accepted: Peer[] = [];
  #events = 0;

  static async start(engine: EngineName, parts: EngineParts): Promise<ConnectionStand> {
    const port = freePort();
    const { clock, log } = parts;
    const proxy = await startLocalProxy({
      host: "127.0.0.1",
      port,
      clock,
      schedule: clock.schedule,
      log: {
        debug: (fields, message) => log("debug", message, fields),
        info: (fields, message) => log("info", message, fields),
        warn: (fields, message) => log("warn", message, fields),
        error: (fields, message) => log("error", message, fields),
      },
      witness: parts.witness,
    });
    const stand = new ConnectionStand(proxy);
    const source = await sourceOf(engine, parts, proxy);
    const problems = await proxy.apply({
      service: "test",
      inbound: {
        ports: [{ port, protocol: "tcp" }],
        tcpRoutes: [{ name: parts.routeName, destinations: [{ cluster: "service" }] }],
        filters: [{ ...parts.use, source }],
      },
      // The upstreams that a connection may be sent to are the same one.
      clusters: ["service", ...parts.upstreams.keys()].map((name) => ({
        name,
        service: name,
        endpoints: [{ address: "127.0.0.1", port: stand.#upstream.port }],
      })),
    });
    if (problems.length === 0) return stand;
    stand.stop();
    throw new Error(problems.map((problem) => renderProblem(problem)).join("\n"));
  }

  private constructor(proxy: LocalProxy) {
    this.#proxy = proxy;
    this.#upstream = Bun.listen<Peer>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        ...this.#handlers(),
        open: (socket) => {
          socket.data = { socket, received: "", isClosed: false };
          this.#accepted.push(socket.data);
          this.#events++;
        },
      },
    });
  }

  /** What the proxy exposes. */
  stats(): readonly string[] {
    return this.#proxy.stats().split("\n");
  }

  async connect(): Promise<TestConnection> {
    const before = this.#accepted.length;
    const peer: Peer = { socket: undefined, received: "", isClosed: false };
    const { port } = this.#proxy;
    const client = await Bun.connect<Peer>({ hostname: "127.0.0.1", port, data: peer, socket: this.#handlers() });
    this.#clients.push(client);
    await this.settle();
    const upstream = (): Peer | undefined => this.#accepted[before];
    const act = async (run: () => void): Promise<void> => {
      run();
      await this.settle();
    };
    return {
      send: (content) => act(() => client.write(bytesOf(content))),
      end: () => act(() => client.shutdown()),
      answer: (content) => {
        const socket = upstream()?.socket;
        if (socket === undefined)
          throw new Error("no upstream is connected that could answer: the filter keeps the connection to itself");
        return act(() => socket.write(bytesOf(content)));
      },
      get forwarded() {
        return upstream()?.received ?? "";
      },
      get received() {
        return peer.received;
      },
      get isClosed() {
        return peer.isClosed;
      },
    };
  }

  settle(): Promise<void> {
    return quiet(() => this.#events);
  }

  stop(): void {
    for (const client of this.#clients) client.terminate();
    this.#proxy.stop();
    this.#upstream.stop(true);
  }

  #handlers(): Bun.SocketHandler<Peer> {
    return {
      binaryType: "buffer",
      data: (socket, chunk: Buffer) => {
        socket.data.received += chunk.toString("latin1");
        this.#events++;
      },
      // Bun closes a socket whose peer has ended; what is to be said was said before.
      close: ({ data }) => {
        data.isClosed = true;
        this.#events++;
      },
      error: () => undefined,
    };
  }
}

interface Peer {
  readonly socket: Bun.Socket<Peer> | undefined;
  received: string;
  isClosed: boolean;
}

async function sourceOf(engine: EngineName, { filter, file }: EngineParts, proxy: LocalProxy): Promise<unknown> {
  if (engine === "source") {
    proxy.builtins.set(filter.name, filter);
    return { kind: "builtin", name: filter.name };
  }
  const { bundle } = await buildComponent(file());
  for (const [digest, bytes] of bundle.files) proxy.files.set(digest, bytes);
  return { kind: "bundle", bundle: bundle.ref };
}

/** A port that is free now: what speaks on it has to be declared before it is opened. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
