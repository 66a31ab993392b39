// A worker's end of the channel. The supervisor may go for a moment (it becomes the next version of the program) and is then
// found again under the same name; when it is gone for good, the worker is told, and ends.
import { Channel } from "./channel.ts";
import { peerPid } from "./libc.ts";
import { Order, type Report } from "./messages.ts";

/** A supervisor that starts anew is there again within some tenths of a second. */
const LOST_AFTER_MS = 10_000;
const RETRY_MS = 25;

export interface LinkOptions {
  /** Name of the supervisor's socket in the abstract namespace. */
  readonly name: string;
  /** The supervisor. While it starts anew others may listen under the name: they hear nothing, and are not heard. */
  readonly pid: number;
  /** What is said first on each connection. */
  readonly hello: () => Report;
  readonly heard: (order: Order) => void;
  /** No supervisor for too long. */
  readonly lost: () => void;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

export interface Link {
  /** Dropped while there is no connection: the next hello says what matters. */
  send(report: Report): void;
  /** Everything that was sent is with the kernel, or there is no connection. */
  readonly isIdle: boolean;
}

/** Connects, and again whenever the connection ends. */
export function openLink(options: LinkOptions): Link {
  let channel: Channel | undefined;
  let lastSeenMs = options.now();

  function again(): void {
    channel?.closed();
    channel = undefined;
    if (options.now() - lastSeenMs > LOST_AFTER_MS) return options.lost();
    setTimeout(connect, RETRY_MS);
  }
  function connect(): void {
    const opening = Bun.connect<Channel>({
      unix: `\0${options.name}`,
      socket: {
        binaryType: "buffer",
        open(socket: Bun.Socket<Channel> & { readonly fd?: number }) {
          if (peerPid(socket.fd ?? -1) !== options.pid) {
            socket.terminate();
            return;
          }
          channel = new Channel(socket, (message) => {
            lastSeenMs = options.now();
            const order = Order.safeParse(message);
            // An order that this version does not know is for others.
            if (order.success) options.heard(order.data);
          });
          socket.data = channel;
          channel.send(options.hello());
        },
        data: (_socket, chunk) => channel?.received(chunk),
        drain: () => channel?.drained(),
        close: () => {
          if (channel !== undefined) lastSeenMs = options.now();
          again();
        },
      },
    });
    opening.catch(again);
  }
  connect();
  return {
    send: (report) => channel?.send(report),
    get isIdle() {
      return channel?.isIdle ?? true;
    },
  };
}
