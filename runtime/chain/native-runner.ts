// Calls the handlers of a native filter: the object that `defineFilter` returned, without a sandbox and without strings
// crossing. What it sees and may do is bounded as in the sandbox, so that both answer alike.
import type { BodyTransform, MessageBody, Passed as PassedContent } from "../../sdk/body.ts";
import type { AdapterAnswer } from "../../sdk/adapter-answer.ts";
import { bytesOf } from "../../sdk/content.ts";
import { CallContext, type ContextBase } from "../../sdk/context.ts";
import type { AnyFilter, AnyHandler } from "../../sdk/define-filter.ts";
import { describeError } from "../../sdk/describe-error.ts";
import type { Lookup } from "../../sdk/headers.ts";
import { RequestMessage, ResponseMessage } from "../../sdk/message.ts";
import { fieldsOf, type Verdict } from "../../sdk/verdict.ts";
import type { AdapterPhase } from "../contract/adapter.ts";
import type { FilterUse } from "../contract/filter.ts";
import type { Exchange, Schedule } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { Pledge, promiseOf } from "../exchange/pledge.ts";
import { ANY_USES, type AdapterCalls, type AdapterReply, type WaitingReply } from "./adapter-calls.ts";
import {
  EVERY_FIELD,
  replyReader,
  replyWildcard,
  requestReader,
  requestWildcard,
  type Fields,
  type Reader,
} from "./attributes.ts";
import type { ConnectionCalls } from "./connection.ts";
import { NativeConnection } from "./native-connection.ts";
import { NativeCall } from "./native-call.ts";
import type { Operations } from "./operations.ts";
import type { Decided, HandlerCall, HandlerRunner, WaitingDecision } from "./phased-filter.ts";
import { lostPiece, type ChunkHandler, type Passed } from "./transformed-body.ts";

/** What a native filter's calls work with. */
export interface NativeParts {
  readonly filter: AnyFilter;
  readonly use: FilterUse;
  readonly base: ContextBase<NativeCall>;
  readonly operations: Operations;
  readonly schedule: Schedule;
}

const NO_CHANGES = { edits: [], replacement: undefined, transform: undefined } as const;
const NO_HANDLER: AnyHandler = () => undefined;
const PROCEED: Decided = { kind: "proceed", changes: NO_CHANGES, cacheMs: 0 };

export class NativeRunner implements HandlerRunner, AdapterCalls {
  readonly needsHead = false;
  readonly fuelUsed = 0;
  readonly #parts: NativeParts;
  readonly #requestFields: Lookup<Exchange>;
  readonly #replyFields: Lookup<Fields>;
  #stopTimers: () => void = () => undefined;

  constructor(parts: NativeParts) {
    this.#parts = parts;
    const { reads } = parts.filter;
    this.#requestFields = lookupOf(
      reads,
      (name) => (name === ":status" ? undefined : requestReader(name)),
      requestWildcard(reads),
    );
    this.#replyFields = lookupOf(reads, replyReader, replyWildcard(reads));
  }

  run({ phase, exchange, fields, message: source }: HandlerCall): Decided | WaitingDecision {
    const { filter, use, base, operations } = this.#parts;
    const handle = filter.handlers[phase];
    if (handle === undefined) return PROCEED;
    const call = new NativeCall(operations, use.limits, source);
    const context = new CallContext(base, call);
    const request = new RequestMessage(this.#requestFields, exchange, context);
    const message = fields === undefined ? request : new ResponseMessage(this.#replyFields, fields, request, context);
    try {
      const answer = handle(message, context);
      if (!(answer instanceof Promise)) return decisionOf(answer, message.headers.edits, message.touchedBody);
      return this.#wait(answer, call, (late) => decisionOf(late, message.headers.edits, message.touchedBody));
    } catch (error) {
      // A handler that throws fails its call, here as in the sandbox.
      return { kind: "failed", message: describeError(error) };
    }
  }

  ask(phase: AdapterPhase, lines: string): AdapterReply | WaitingReply {
    const { filter, use, base, operations } = this.#parts;
    const handle = filter.handlers[phase];
    if (handle === undefined) return failedReply(`there is no handler of ${phase}`);
    const call = new NativeCall(operations, use.limits, undefined);
    try {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `defineAdapter` has wrapped the author's own
      const answer = handle(lines, new CallContext(base, call)) as AdapterAnswer | Promise<AdapterAnswer>;
      if (!(answer instanceof Promise)) return replyOf(answer);
      let reply: AdapterReply | undefined;
      const kept = answer.then((late) => (reply = replyOf(late)));
      const waiting = this.#wait(kept, call, () => PROCEED);
      const done = promiseOf(waiting).then((decided): AdapterReply => {
        if (decided.kind === "failed") return failedReply(decided.message);
        return decided.kind === "lost" || reply === undefined ? { kind: "lost", fuel: 0 } : reply;
      });
      return { done, cancel: (cause) => waiting.cancel(cause) };
    } catch (error) {
      return failedReply(describeError(error));
    }
  }

  connect(): ConnectionCalls {
    const { filter, use, base, operations, schedule } = this.#parts;
    const { connection: handle = NO_HANDLER } = filter.handlers;
    return new NativeConnection({ handle, base, operations, limits: use.limits, schedule });
  }

  /** Runs `setup`, or the timer of a name; what went wrong is thrown. */
  async background(phase: "setup" | "timer", name: string): Promise<void> {
    const { filter, use, base, operations } = this.#parts;
    const handle = filter.handlers[phase];
    if (handle === undefined) return;
    const call = new NativeCall(operations, use.limits, undefined);
    const answer = handle(name, new CallContext(base, call));
    const keep = (state: unknown): Decided => {
      if (phase === "setup") base.state = state;
      return PROCEED;
    };
    const settled = answer instanceof Promise ? await promiseOf(this.#wait(answer, call, keep)) : keep(answer);
    if (settled.kind === "failed") throw new Error(settled.message);
  }

  /** Called by `stop`. */
  set onStop(stop: () => void) {
    this.#stopTimers = stop;
  }

  stop(): void {
    this.#stopTimers();
  }

  #wait(answer: Promise<unknown>, call: NativeCall, decide: (verdict: unknown) => Decided): WaitingDecision {
    const { schedule, use } = this.#parts;
    const pledge = new Pledge<Decided>();
    const { deadlineMs } = use.limits;
    const stopDeadline = schedule(() => {
      call.abort();
      pledge.settle({ kind: "failed", message: `has not decided within ${deadlineMs} ms` });
    }, deadlineMs);
    const cancel = (cause: Failure): void => {
      stopDeadline();
      call.abort();
      pledge.settle({ kind: "lost", cause });
    };
    call.onBodyFailed = cancel;
    answer.then(decide).then(
      (decided) => {
        stopDeadline();
        return pledge.settle(decided);
      },
      (error: unknown) => {
        stopDeadline();
        return pledge.settle({ kind: "failed", message: describeError(error) });
      },
    );
    return { take: (taker) => pledge.take(taker), cancel };
  }
}

function decisionOf(answer: unknown, edits: readonly string[], body: MessageBody | undefined): Decided {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Built-in filters are typed; what else they return fails below.
  const verdict = (answer ?? undefined) as Verdict | undefined;
  if (verdict === undefined || verdict.kind === "proceed") {
    if (edits.length === 0 && body === undefined && verdict?.cacheMs === undefined) return PROCEED;
    const transform = body?.transformation === undefined ? undefined : chunksOf(body.transformation);
    const changes = { edits, replacement: body?.replacement, transform };
    return { kind: "proceed", changes, cacheMs: verdict?.cacheMs ?? 0 };
  }
  if (verdict.kind !== "reply")
    return { kind: "failed", message: "the handler returned something that is not a verdict" };
  const { status, body: content = "", cacheMs = 0 } = verdict;
  return { kind: "reply", parts: { status, headers: fieldsOf(verdict), body: content }, cacheMs };
}

/** What a handler of an adapter answered. */
function replyOf(answer: AdapterAnswer): AdapterReply {
  const { validForMs, validUses = ANY_USES } = answer;
  if (answer.kind === "proceed") return { kind: "proceed", granted: answer.granted, validForMs, validUses, fuel: 0 };
  const parts = { status: answer.status, headers: answer.fields, body: answer.message };
  return { kind: "reply", parts, validForMs, validUses, fuel: 0 };
}

function failedReply(message: string): AdapterReply {
  return { kind: "failed", message, isFault: false, fuel: 0 };
}

/** A body's pieces through a transform of the author's. */
function chunksOf(transform: BodyTransform): ChunkHandler {
  return {
    take: (bytes, isEnd) => {
      try {
        return isEnd ? takeLast(transform, bytes) : take(transform, bytes);
      } catch (error) {
        return lostPieceOf(error);
      }
    },
    cancel: () => {
      try {
        transform.cancel?.();
      } catch {
        // The body is over already; there is nobody to tell.
      }
    },
  };
}

function take(transform: BodyTransform, bytes: Uint8Array): Passed | Promise<Passed> {
  // The transform may keep what it gets, and the chunk is its codec's. `slice` of a Buffer would be the same memory.
  const passed = transform.chunk(new Uint8Array(bytes));
  return passed instanceof Promise ? passed.then((late) => passedOf(late), lostPieceOf) : passedOf(passed);
}

function takeLast(transform: BodyTransform, bytes: Uint8Array): Passed | Promise<Passed> {
  const before = bytes.length === 0 ? PASS : take(transform, bytes);
  if (before instanceof Promise) return before.then((piece) => withLast(transform, piece, bytes));
  return withLast(transform, before, bytes);
}

function withLast(transform: BodyTransform, before: Passed, bytes: Uint8Array): Passed | Promise<Passed> {
  if (before.kind === "failed") return before;
  const last = transform.end?.();
  const join = (tail: PassedContent): Passed => {
    const after = passedOf(tail);
    if (after.kind !== "instead") return before;
    return { kind: "instead", pieces: [...(before.kind === "instead" ? before.pieces : [bytes]), ...after.pieces] };
  };
  return last instanceof Promise ? last.then(join, lostPieceOf) : join(last);
}

const PASS: Passed = { kind: "pass" };

function passedOf(content: PassedContent): Passed {
  if (content === undefined || content === null) return PASS;
  return { kind: "instead", pieces: [bytesOf(content)] };
}

function lostPieceOf(error: unknown): Passed {
  return lostPiece(describeError(error));
}

/** The fields of a message as far as they were declared. */
function lookupOf<Of extends { readonly headers: HeaderMap }>(
  reads: readonly string[],
  readerOf: (name: string) => Reader<Of> | undefined,
  readWildcard: (of: Of, name: string) => string | undefined,
): Lookup<Of> {
  // An object without a prototype: the engine remembers where each handler found its names, which it does not of a map.
  const readers: Record<string, Reader<Of> | undefined> = Object.create(null);
  for (const name of reads) readers[name] = readerOf(name);
  const readsAll = reads.includes(EVERY_FIELD);
  return {
    get: (of, name) => {
      const reader = readers[name];
      return reader === undefined ? readWildcard(of, name) : reader(of);
    },
    getAll: (of, name) => (readsAll || readers[name] !== undefined ? of.headers.getAll(name) : []),
    names: (of) =>
      [...of.headers].map(([name]) => name.toLowerCase()).filter((name) => readsAll || readers[name] !== undefined),
  };
}
