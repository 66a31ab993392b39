// The component's exports over an author's filter: heads become messages, what handlers return becomes answers, and a
// call whose handler waits is kept until its promise has settled.
import host from "vespid:filter/host@2.0.0";
import { parseWith } from "../../runtime/contract/problem.ts";
import type { AdapterAnswer } from "../adapter-answer.ts";
import type { BodyTransform } from "../body.ts";
import { bytesOf } from "../content.ts";
import { contextOf, type CallContext, type ContextBase } from "../context.ts";
import type { AnyFilter, AnyHandler } from "../define-filter.ts";
import { describeError } from "../describe-error.ts";
import type { HandledConnection } from "../handled-connection.ts";
import type { RequestMessage, ResponseMessage } from "../message.ts";
import { requireHost } from "../host.ts";
import { createMeters } from "../metric.ts";
import { createShared } from "../shared.ts";
import { JUST_PROCEED } from "../verdict.ts";
import type { Phase, Side } from "../wit/world.ts";
import {
  addMetric,
  PROCEED,
  renderAdapterAnswer,
  renderEdits,
  renderFailed,
  renderVerdict,
  withMetrics,
} from "./answer.ts";
import { after } from "./after.ts";
import { addConnection, connections, renderHandled } from "./connections.ts";
import { expectReads, replyOf, requestOf } from "./head.ts";
import { log } from "./log.ts";
import { abortCall, forgetCall, proxy, settleOperation } from "./operations.ts";
import { drainJobs, GuestPromise, isRejected, SETTLED, takeUnhandled, watch } from "./promise.ts";

/** The exports of interface `handler`. */
export interface GuestHandler {
  configure(config: string): void;
  begin(call: number, phase: Phase, head: string): string;
  resume(call: number, operation: number, outcome: string, payload: Uint8Array): string;
  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): string;
  cancel(call: number): void;
}

type Port = CallContext<number>;

type Message = RequestMessage<string> | ResponseMessage<string>;

/** Renders what a handler returned; `about` is what it was called for, where that matters. */
type Render<Value> = (value: Value, about: About | undefined) => string;
type About = readonly [port: Port, phase: Phase, message: Message];

/** A call whose handler returned a promise. The promise's watcher, which begins with the four that it reads. */
type WaitingHandler = readonly [
  target: undefined,
  settled: (waits: WaitingHandler) => void,
  render: Render<unknown>,
  watched: GuestPromise<unknown>,
  call: number,
  about: About | undefined,
];

const NO_CONFIG = { ok: true, value: {} } as const;
const PENDING = "pending\n";
const PASS = "pass\n";

/** The exports of a component that runs `filter`. */
export function createHandler(filter: AnyFilter): GuestHandler {
  const { handlers } = filter;
  const metrics = createMeters(filter.metrics, addMetric);
  const shared = createShared(requireHost);
  // The build runs this and takes a snapshot: what a schema prepares at its first use is then in every instance, whose
  // configuration takes a twentieth of the instructions. What comes of it does not matter.
  warmUp(filter);
  expectReads(filter.reads);
  let base: ContextBase<number> = { config: {}, state: undefined, log, metrics, shared, host: proxy };
  /** Calls whose handlers wait. */
  const waiting = new Map<number, WaitingHandler>();
  const transforms = new Map<number, BodyTransform>();
  /** Calls that settled since the host entered. */
  let settled: WaitingHandler[] = [];

  const hasSettled = (waits: WaitingHandler): void => {
    settled.push(waits);
  };

  /** The answer to a call; `pending` where its promise has not settled, and then it is in `settled` one day. */
  function settle<Value>(port: Port, result: Value | Promise<Value>, render: (value: Value) => string): string {
    if (result instanceof GuestPromise) return settleLater<Value>(port.call, result, render, undefined);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- there are no other promises here
    return leave(port.call, render(result as Value));
  }

  function settleLater<Value>(
    call: number,
    watched: GuestPromise<Value>,
    render: Render<Value>,
    about: About | undefined,
  ): string {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it renders what this promise brings
    const waits: WaitingHandler = [undefined, hasSettled, render as Render<unknown>, watched, call, about];
    if ((watched.state & SETTLED) !== 0) settled.push(waits);
    else {
      waiting.set(call, waits);
      watch(waits);
      // What most calls do: they start an operation, and nothing else.
      if (!after.isDue && settled.length === 0) return PENDING;
    }
    return leave(call);
  }

  /** Runs what is due, and tells the host of every call that it settled; the answer of `call` is returned, `decided` where it has one. */
  function leave(call: number, decided?: string): string {
    let own = decided;
    try {
      drainJobs();
    } catch (error) {
      own = renderFailed(error);
    }
    while (settled.length > 0) {
      const all = settled;
      settled = [];
      // By index: an iterator costs the interpreter more than what it walks over.
      for (let index = 0; index < all.length; index++) {
        const waits = all[index];
        if (waits === undefined) continue;
        const of = waits[4];
        const wasWaiting = waiting.has(of);
        const text = answerWaiting(waits);
        if (of === call) own ??= text;
        // A call that was cancelled has no answer.
        else if (wasWaiting) host.settle(of, text);
      }
    }
    const unhandled = takeUnhandled();
    if (unhandled !== undefined) own = failFor(call, unhandled.reason, own);
    after.isDue = false;
    return withMetrics(own ?? PENDING);
  }

  /** The answer of a call that waits no more. */
  function answerWaiting(waits: WaitingHandler): string {
    const text = answerOf(waits);
    const call = waits[4];
    // That of a connection has more to come.
    if (handlers.connection === undefined || !connections.has(call)) forgetCall(call);
    waiting.delete(call);
    return text;
  }

  /** Nobody awaited what went wrong: the call that ran meanwhile fails, and where there is none the log says so. */
  function failFor(call: number, reason: unknown, own: string | undefined): string | undefined {
    const message = `unhandled rejection: ${describeError(reason)}`;
    if (own === undefined && !waiting.delete(call)) {
      log.error(message);
      return own;
    }
    return `failed ${message}`;
  }

  function renderDecision(verdict: unknown, port: Port, phase: Phase, message: Message): string {
    const { edits } = message.headers;
    const body = message.touchedBody;
    if (body === undefined && (verdict === undefined || verdict === JUST_PROCEED)) return renderEdits(PROCEED, edits);
    if (body?.transformation !== undefined) transforms.set(port.call, body.transformation);
    return renderVerdict(verdict, {
      call: port.call,
      edits,
      body,
      to: phase === "request" ? "upstream" : "downstream",
    });
  }

  const renderLate: Render<unknown> = (verdict, about) =>
    about === undefined
      ? renderFailed("a decision about no message")
      : renderDecision(verdict, about[0], about[1], about[2]);

  function beginMessage(port: Port, phase: Phase, handle: AnyHandler | undefined, message: Message): string {
    if (handle === undefined) return PROCEED;
    const verdict = handle(message, port);
    // What most calls do: edits, and nothing else.
    if (verdict === undefined && !after.isDue && message.touchedBody === undefined)
      return renderEdits(PROCEED, message.headers.edits);
    if (verdict instanceof GuestPromise) return settleLater(port.call, verdict, renderLate, [port, phase, message]);
    forgetCall(port.call);
    return leave(port.call, renderDecision(verdict, port, phase, message));
  }

  function beginBackground(port: Port, phase: "setup" | "timer", name: string): string {
    const handle = handlers[phase];
    if (handle === undefined) return PROCEED;
    return settle(port, handle(name, port), (value) => {
      if (phase === "setup") base.state = value;
      return PROCEED;
    });
  }

  /** What a rule asks or tells an adapter. */
  function beginAsked(port: Port, phase: "check" | "quota" | "report", head: string): string {
    const handle = handlers[phase];
    if (handle === undefined) return renderFailed(`there is no handler of ${phase}`);
    const answer = handle(head, port);
    if (answer instanceof GuestPromise)
      return settleLater<AdapterAnswer>(port.call, answer, renderAdapterAnswer, undefined);
    forgetCall(port.call);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `defineAdapter` has checked it
    const decided = renderAdapterAnswer(answer as AdapterAnswer);
    return after.isDue ? leave(port.call, decided) : decided;
  }

  function beginConnection(port: Port, head: string): string {
    const { connection: handle } = handlers;
    if (handle === undefined) return PROCEED;
    const opened = addConnection(port.call).open(head, handle, port);
    return settle(port, opened, (handled) => renderHandled(port.call, handled));
  }

  function endConnection(port: Port, connection: HandledConnection, head: string): string {
    connections.delete(port.call);
    waiting.delete(port.call);
    abortCall(port.call);
    return settle(port, connection.over(head), () => PROCEED);
  }

  return {
    configure(config) {
      let problems: unknown;
      try {
        const parsed = filter.config === undefined ? NO_CONFIG : parseWith<unknown>(filter.config, JSON.parse(config));
        if (parsed.ok) base = { config: parsed.value, state: undefined, log, metrics, shared, host: proxy };
        else problems = parsed.problems;
      } catch (error) {
        // A transform of the author's that throws.
        problems = [{ path: "", message: String(error) }];
      }
      // The error of a WIT result is thrown as it is: a string.
      if (problems !== undefined) throw JSON.stringify(problems);
    },
    begin(call, phase, head) {
      try {
        const port = contextOf(base, call);
        // Most calls, first.
        if (phase === "request") return beginMessage(port, phase, handlers.request, requestOf(head, port));
        if (phase === "response") return beginMessage(port, phase, handlers.response, replyOf(head, port));
        if (phase === "check" || phase === "quota" || phase === "report") return beginAsked(port, phase, head);
        if (phase === "setup" || phase === "timer") return beginBackground(port, phase, head);
        if (phase === "connection") return beginConnection(port, head);
        const connection = phase === "log" ? connections.get(call) : undefined;
        if (connection !== undefined) return endConnection(port, connection, head);
        return beginMessage(port, phase, handlers[phase], replyOf(head, port));
      } catch (error) {
        return withMetrics(renderFailed(error));
      }
    },
    resume(call, operation, outcome, payload) {
      settleOperation(operation, outcome, payload);
      const waits = settled[0];
      // What most calls do: it was all that they waited for.
      if (waits === undefined || after.isDue || settled.length > 1 || waits[4] !== call) return leave(call);
      settled = [];
      return answerWaiting(waits);
    },
    chunk(call, source, bytes, isEnd) {
      const transform = transforms.get(call);
      const connection = transform === undefined ? connections.get(call) : undefined;
      const port = contextOf(base, call);
      try {
        if (connection !== undefined) {
          const handled = connection.chunk(source, bytes, isEnd);
          return settle(port, handled, (late) => renderHandled(call, late));
        }
        if (transform === undefined) return "failed no transform is under way";
        if (isEnd) transforms.delete(call);
        const to = source === "downstream" ? "upstream" : "downstream";
        return passChunk(port, transform, { bytes, isEnd, to });
      } catch (error) {
        return withMetrics(renderFailed(error));
      }
    },
    cancel(call) {
      const transform = transforms.get(call);
      transforms.delete(call);
      try {
        transform?.cancel?.();
      } catch {
        // The body is over already; there is nobody to tell.
      }
      connections.delete(call);
      waiting.delete(call);
      abortCall(call);
      leave(call);
    },
  };

  function passChunk(port: Port, transform: BodyTransform, piece: Piece): string {
    const { bytes, isEnd, to } = piece;
    const emit = (content: unknown): void => {
      if (typeof content !== "string" && !(content instanceof Uint8Array))
        throw new TypeError("a transform returns text, bytes or nothing");
      if (content.length > 0) host.emit(port.call, to, bytesOf(content));
    };
    /** Whether the piece itself goes on; then what follows it is emitted behind it. */
    const passed = bytes.length === 0 ? undefined : transform.chunk(bytes);
    if (!isEnd && !(passed instanceof GuestPromise)) {
      if (passed === undefined || passed === null) return withMetrics(PASS);
      emit(passed);
      return withMetrics(PROCEED);
    }
    const last = GuestPromise.resolve(passed).then((content) => {
      const rest = isEnd ? transform.end?.() : undefined;
      return GuestPromise.resolve(rest).then((tail) => {
        if (tail === undefined && content === undefined) return PASS;
        if (content !== undefined || bytes.length > 0) emit(content ?? bytes);
        if (tail !== undefined) emit(tail);
        return PROCEED;
      });
    });
    return settle(port, last, (answer) => answer);
  }
}

/** A chunk and where it goes. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly isEnd: boolean;
  readonly to: Side;
}

function answerOf(waits: WaitingHandler): string {
  const watched = waits[3];
  if ((watched.state & SETTLED) === 0) return PENDING;
  if (isRejected(watched)) return renderFailed(watched.outcome);
  try {
    return waits[2](watched.outcome, waits[5]);
  } catch (error) {
    return renderFailed(error);
  }
}

function warmUp({ config }: AnyFilter): void {
  try {
    config?.safeParse({});
  } catch {
    // A transform of the author's that throws does so again where it counts.
  }
}
