// A control service that sends what a test says, right or wrong, and hears what proxies answer.
import type { ServerWebSocket } from "bun";
import { z } from "zod";
import { versionOf } from "../../runtime/contract/version.ts";
import { until } from "./until.ts";

const Heard = z.object({
  kind: z.string(),
  version: z.string().optional(),
  problems: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
});
type Heard = z.infer<typeof Heard>;

export class FakeControl implements AsyncDisposable {
  /** What proxies said, in order. */
  readonly heard: Heard[] = [];
  readonly #sockets = new Set<ServerWebSocket>();
  readonly #server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no", { status: 404 })),
    websocket: {
      open: (socket) => void this.#sockets.add(socket),
      message: (_socket, data) => void this.heard.push(Heard.parse(JSON.parse(String(data)))),
      close: (socket) => void this.#sockets.delete(socket),
    },
  });

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** Proxies that are connected now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Pushes a snapshot; resolves with the answer. */
  async push(snapshot: unknown): Promise<Heard> {
    const version = versionOf(snapshot);
    const before = this.heard.length;
    for (const socket of this.#sockets) socket.send(JSON.stringify({ kind: "push", version, snapshot }));
    return until("an answer to a push", () =>
      this.heard.slice(before).find((message) => message.kind !== "hello" && message.version === version),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}
