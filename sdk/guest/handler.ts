// The component's exports over an author's filter: heads become messages, what handlers return becomes answers, and a
// call whose handler waits is kept until its promise has settled.
import { renderEdits } from "vespid:engine";
import host from "vespid:filter/host@2.0.0";
import { parseWith } from "../../runtime/contract/problem.ts";
import type { AdapterAnswer } from "../adapter-answer.ts";
import type { BodyTransform } from "../body.ts";
import { bytesOf } from "../content.ts";
import { contextOf, type CallContext, type ContextBase } from "../context.ts";
import type { AnyFilter } from "../define-filter.ts";
import { describeError } from "../describe-error.ts";
import type { Handled, HandledConnection } from "../handled-connection.ts";
import type { RequestMessage, ResponseMessage } from "../message.ts";
import { requireHost } from "../host.ts";
import { createMeters } from "../metric.ts";
import { createShared } from "../shared.ts";
import { JUST_PROCEED } from "../verdict.ts";
import type { Phase, Side } from "../wit/world.ts";
import { addMetric, PROCEED, renderAdapterAnswer, renderFailed, renderVerdict, withMetrics } from "./answer.ts";
import { after, type After } from "./after.ts";
import { addConnection, connections, renderHandled } from "./connections.ts";
import { replyOf, requestOf } from "./head.ts";
import { log } from "./log.ts";
import { abortCall, forgetCall, proxy } from "./operations.ts";

/**
 * What the engine calls for the exports of interface `handler`. Whatever these throw becomes an answer by `failed`; operations
 * are settled by the engine itself, which also runs the jobs that are due and keeps the calls that wait.
 */
export interface GuestHandler {
  configure(config: string): void;
  readonly begin: Readonly<Record<Phase, Begin>>;
  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): Returned;
  cancel(call: number): void;
  /** A call that was cancelled is over: its handler has learnt it. */
  over(call: number): void;
  /** The answer of a call that failed. */
  failed(reason: unknown, call: number): string;
  /** The answer of a call behind which a promise was rejected that nobody looked at. */
  unhandled(reason: unknown): string;
  /** The answer with what `after` tells of. */
  measured(answer: string): string;
  readonly after: After;
}

type Port = CallContext<number>;

type Message = RequestMessage<string> | ResponseMessage<string>;

type Begin = (call: number, head: string) => Returned;

/** An answer; or what it comes of: a value or the promise of one, what renders it, and about what. */
type Returned = string | readonly [value: unknown, render: Render, about: unknown];
// oxlint-disable-next-line typescript/no-explicit-any -- each gets what it stands beside
type Render = (value: any, about: any) => string;

/** What a decision is about. */
type About = readonly [port: Port, phase: Phase, message: Message];

const NO_CONFIG = { ok: true, value: {} } as const;
const PASS = "pass\n";

/** The exports of a component that runs `filter`. */
export function createHandler(filter: AnyFilter): GuestHandler {
  const { handlers } = filter;
  const metrics = createMeters(filter.metrics, addMetric);
  const shared = createShared(requireHost);
  // The build runs this and takes a snapshot: what a schema prepares at its first use is then in every instance, whose
  // configuration takes a twentieth of the instructions. What comes of it does not matter.
  warmUp(filter);
  let base: ContextBase<number> = { config: {}, state: undefined, log, metrics, shared, host: proxy };
  const transforms = new Map<number, BodyTransform>();

  function renderDecision(verdict: unknown, about: About): string {
    // By index: to take it apart, the interpreter makes an iterator.
    const port = about[0];
    const message = about[2];
    forgetCall(port.call);
    const { edits } = message.headers;
    const body = message.touchedBody;
    if (body === undefined && (verdict === undefined || verdict === JUST_PROCEED)) return renderEdits(PROCEED, edits);
    if (body?.transformation !== undefined) transforms.set(port.call, body.transformation);
    return renderVerdict(verdict, {
      call: port.call,
      edits,
      body,
      to: about[1] === "request" ? "upstream" : "downstream",
    });
  }

  function beginMessage(phase: Phase, messageOf: (head: string, port: Port) => Message): Begin {
    const handle = handlers[phase];
    if (handle === undefined) return () => PROCEED;
    return (call, head) => {
      const port = contextOf(base, call);
      const message = messageOf(head, port);
      const verdict = handle(message, port);
      // What most calls do: edits, and nothing else.
      if (verdict === undefined && !after.isDue && message.touchedBody === undefined)
        return renderEdits(PROCEED, message.headers.edits);
      return [verdict, renderDecision, [port, phase, message]];
    };
  }

  function beginBackground(phase: "setup" | "timer", render: Render): Begin {
    const handle = handlers[phase];
    if (handle === undefined) return () => PROCEED;
    return (call, name) => [handle(name, contextOf(base, call)), render, call];
  }

  /** What a rule asks or tells an adapter. */
  function beginAsked(phase: "check" | "quota" | "report"): Begin {
    const handle = handlers[phase];
    if (handle === undefined) return () => renderFailed(`there is no handler of ${phase}`);
    return (call, head) => [handle(head, contextOf(base, call)), renderAsked, call];
  }

  function beginConnection(): Begin {
    const handle = handlers.connection;
    if (handle === undefined) return () => PROCEED;
    return (call, head) => [addConnection(call).open(head, handle, contextOf(base, call)), renderConnection, call];
  }

  function renderSetup(state: unknown, call: number): string {
    base.state = state;
    return renderNoDecision(undefined, call);
  }

  const beginLog = beginMessage("log", replyOf);

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
    begin: {
      request: beginMessage("request", requestOf),
      response: beginMessage("response", replyOf),
      "request-trailers": beginMessage("request-trailers", replyOf),
      "response-trailers": beginMessage("response-trailers", replyOf),
      log: (call, head) => {
        const connection = connections.get(call);
        return connection === undefined ? beginLog(call, head) : endConnection(call, connection, head);
      },
      setup: beginBackground("setup", renderSetup),
      timer: beginBackground("timer", renderNoDecision),
      connection: beginConnection(),
      check: beginAsked("check"),
      quota: beginAsked("quota"),
      report: beginAsked("report"),
    },
    chunk(call, source, bytes, isEnd) {
      const transform = transforms.get(call);
      if (transform === undefined) {
        const connection = connections.get(call);
        if (connection === undefined) return "failed no transform is under way";
        return [connection.chunk(source, bytes, isEnd), renderConnection, call];
      }
      if (isEnd) transforms.delete(call);
      return passChunk(call, transform, { bytes, isEnd, to: source === "downstream" ? "upstream" : "downstream" });
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
      abortCall(call);
    },
    over: forgetCall,
    failed(reason, call) {
      forgetCall(call);
      return renderFailed(reason);
    },
    unhandled: (reason) => `failed unhandled rejection: ${describeError(reason)}`,
    measured: withMetrics,
    after,
  };
}

function endConnection(call: number, connection: HandledConnection, head: string): Returned {
  connections.delete(call);
  abortCall(call);
  return [connection.over(head), renderNoDecision, call];
}

function passChunk(call: number, transform: BodyTransform, { bytes, isEnd, to }: Piece): Returned {
  const emit = (content: unknown): void => {
    if (typeof content !== "string" && !(content instanceof Uint8Array))
      throw new TypeError("a transform returns text, bytes or nothing");
    if (content.length > 0) host.emit(call, to, bytesOf(content));
  };
  /** Whether the piece itself goes on; then what follows it is emitted behind it. */
  const passed = bytes.length === 0 ? undefined : transform.chunk(bytes);
  if (!isEnd && !(passed instanceof Promise)) {
    if (passed === undefined || passed === null) return PASS;
    emit(passed);
    return PROCEED;
  }
  const passAll = async (): Promise<string> => {
    const content = await passed;
    const tail = isEnd ? await transform.end?.() : undefined;
    if (tail === undefined && content === undefined) return PASS;
    if (content !== undefined || bytes.length > 0) emit(content ?? bytes);
    if (tail !== undefined) emit(tail);
    return PROCEED;
  };
  return [passAll(), renderAsIs, call];
}

function renderAsked(answer: AdapterAnswer, call: number): string {
  forgetCall(call);
  return renderAdapterAnswer(answer);
}

function renderNoDecision(_: unknown, call: number): string {
  forgetCall(call);
  return PROCEED;
}

function renderConnection(handled: Handled, call: number): string {
  return renderHandled(call, handled);
}

/** What was rendered already. */
function renderAsIs(answer: string): string {
  return answer;
}

/** A chunk and where it goes. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly isEnd: boolean;
  readonly to: Side;
}

function warmUp({ config }: AnyFilter): void {
  try {
    config?.safeParse({});
  } catch {
    // A transform of the author's that throws does so again where it counts.
  }
}
