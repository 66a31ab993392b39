// The connection to control: kept up for as long as the proxy runs, and trusted with nothing. Whatever comes is checked, and the worst it can do is cost a reconnection.
import { parseWith, renderProblem } from "../contract/problem.ts";
import { ControlMessage, MESSAGE_MAX_BYTES, PUSH_PATH, type ProxyMessage, type Told } from "../contract/protocol.ts";
import type { Tap } from "../contract/tap.ts";
import type { Random } from "../exchange/exchange.ts";
import type { Applier } from "./apply.ts";
import { jitteredBackoffMs } from "./backoff.ts";
import type { SyncLog, SyncNode, SyncTiming } from "./sync.ts";

export type ClientState =
  | { readonly kind: "starting" }
  | { readonly kind: "connecting"; readonly failures: number; readonly lastError: string | undefined }
  | { readonly kind: "connected"; readonly sinceMs: number }
  | { readonly kind: "stopped" };

/** Beyond it, control reads too slowly: more is not said. */
const BUFFERED_MAX_BYTES = 8 * 1024 * 1024;

export interface ClientOptions {
  readonly control: string;
  readonly node: SyncNode;
  readonly applier: Applier;
  /** What is to be watched from now on. */
  readonly setTaps: (taps: readonly Tap[]) => void;
  readonly timing: Pick<SyncTiming, "reconnectMinMs" | "reconnectMaxMs" | "connectTimeoutMs" | "silenceMaxMs">;
  readonly random: Random;
  readonly log: SyncLog;
  readonly now: () => number;
}

export interface Client {
  state(): ClientState;
  /** `false` where there is no connection: it was not said. */
  tell(told: Told): boolean;
  stop(): void;
}

/** Connects, says hello, answers pushes; reconnects for ever with jittered backoff. */
export function startClient(options: ClientOptions): Client {
  const { timing, random, log, now } = options;
  let state: ClientState = { kind: "connecting", failures: 0, lastError: undefined };
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let current: Connection | undefined;

  function connect() {
    current = openConnection(options, {
      opened() {
        state = { kind: "connected", sinceMs: now() };
        log.info({ control: options.control }, "connected to control");
      },
      behaved() {
        // Only a connection that brought something sensible starts the waits afresh: one that is accepted and then
        // talks nonsense must not be tried ten times a second.
        failures = 0;
      },
      ended(reason) {
        // Whoever looked cannot be told any more.
        options.setTaps([]);
        if (state.kind === "stopped") return;
        const waitMs = jitteredBackoffMs(failures, timing.reconnectMinMs, timing.reconnectMaxMs, random);
        failures += 1;
        state = { kind: "connecting", failures, lastError: reason };
        log.warn(
          { control: options.control, reason, failures, waitMs: Math.round(waitMs) },
          "no connection to control",
        );
        timer = setTimeout(connect, waitMs);
      },
    });
  }
  connect();

  return {
    state: () => state,
    tell: (told) => current?.send(told) ?? false,
    stop() {
      state = { kind: "stopped" };
      clearTimeout(timer);
      current?.end("stopped");
    },
  };
}

interface ConnectionEvents {
  opened(): void;
  /** A push arrived and was answered, whether it was taken or refused. */
  behaved(): void;
  /** Exactly once. */
  ended(reason: string): void;
}

interface Connection {
  /** `false` where it is not open. */
  send(message: ProxyMessage): boolean;
  end(reason: string): void;
}

/** One connection, from the attempt to its end. */
function openConnection(options: ClientOptions, events: ConnectionEvents): Connection {
  const { node, applier, timing } = options;
  const url = new URL(PUSH_PATH, options.control);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url.href);
  let isEnded = false;
  let watchdog = setTimeout(() => end("no connection in time"), timing.connectTimeoutMs);

  /** Control pings; a peer that vanished without a word (a lost machine, a dropped route) is noticed by its silence. */
  function heard() {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => end(`nothing heard for ${timing.silenceMaxMs} ms`), timing.silenceMaxMs);
  }

  function end(reason: string) {
    if (isEnded) return;
    isEnded = true;
    clearTimeout(watchdog);
    socket.terminate();
    events.ended(reason);
  }

  function send(message: ProxyMessage): boolean {
    if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > BUFFERED_MAX_BYTES) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  async function receive(data: unknown) {
    const message = parseMessage(data);
    if (!message.ok) return end(message.error);
    if (message.value.kind === "refused")
      return end(`refused: ${message.value.problems.map(renderProblem).join("; ")}`);
    if (message.value.kind === "taps") return options.setTaps(message.value.taps);
    const answer = await applier.apply(message.value.version, message.value.snapshot, "control");
    if (isEnded) return;
    send(answer);
    events.behaved();
  }

  socket.addEventListener("open", () => {
    heard();
    events.opened();
    const version = applier.applied()?.version;
    send({ kind: "hello", protocol: 1, ...node, ...(version === undefined ? {} : { version }) });
  });
  socket.addEventListener("message", ({ data }) => {
    heard();
    void receive(data);
  });
  // Bun tells of pings by an event that the type of a browser's WebSocket does not name.
  const pings: EventTarget = socket;
  pings.addEventListener("ping", heard);
  socket.addEventListener("error", () => end("the connection failed"));
  socket.addEventListener("close", ({ code, reason }) =>
    end(`closed with ${code}${reason === "" ? "" : `: ${reason}`}`),
  );
  return { send, end };
}

type Received = { readonly ok: true; readonly value: ControlMessage } | { readonly ok: false; readonly error: string };

/** What a frame says. Nonsense ends the connection: after it, neither side knows which push is unanswered. */
function parseMessage(data: unknown): Received {
  if (typeof data !== "string") return { ok: false, error: "control sent bytes, a message is text" };
  // Characters, not bytes: a bound against nonsense need not count to the byte.
  if (data.length > MESSAGE_MAX_BYTES) {
    return { ok: false, error: `control sent ${data.length} characters, limit is ${MESSAGE_MAX_BYTES}` };
  }
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return { ok: false, error: "control sent a message that is not JSON" };
  }
  const parsed = parseWith(ControlMessage, value);
  if (parsed.ok) return parsed;
  return { ok: false, error: `control sent nonsense: ${parsed.problems.slice(0, 3).map(renderProblem).join("; ")}` };
}
