// A filter in the chain over whatever runs its handlers: what they decide is checked against what the filter declared and
// applied to the exchange. Native and sandboxed filters differ in who calls the handler, and in nothing else.
import type { Manifest, Phase } from "../contract/bundle.ts";
import type { FilterUse } from "../contract/filter.ts";
import { EMPTY_BODY } from "../exchange/body.ts";
import type { Clock, Exchange, Waiter } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { promiseOf, type Pledge } from "../exchange/pledge.ts";
import { Reply } from "../exchange/reply.ts";
import {
  applyChanges,
  applyEdits,
  applyToTrailers,
  buildReply,
  type Changes,
  type Permissions,
  type ReplyParts,
} from "./apply.ts";
import { FilterConnectionRun } from "./connection-filter.ts";
import { compileConnectionHead } from "./connection-head.ts";
import type { ConnectionCalls } from "./connection.ts";
import { compileHead, type Fields, type Head } from "./attributes.ts";
import type { Writes } from "./edits.ts";
import { PROCEED, type Filter, type Verdict } from "./filter.ts";
import { failedVerdict } from "./on-failure.ts";
import { TrailedBody } from "./transformed-body.ts";
import { VerdictCache } from "./verdict-cache.ts";
import type { Message } from "./whole-body.ts";

/** What a handler decided, and, of a sandboxed one, the fuel of all of the call. */
export type Decided = Outcome & { readonly fuel?: number };

type Outcome =
  | { readonly kind: "proceed"; readonly changes: Changes; readonly cacheMs: number }
  | { readonly kind: "reply"; readonly parts: ReplyParts; readonly cacheMs: number }
  /** The message is for logs. */
  | { readonly kind: "failed"; readonly message: string }
  /** The exchange was lost meanwhile. */
  | { readonly kind: "lost"; readonly cause: Failure };

/** A call that waits for something. */
export interface WaitingDecision extends Pick<Pledge<Decided>, "take"> {
  /** Its client left. */
  cancel(cause: Failure): void;
}

/** One call of a handler. */
export interface HandlerCall {
  readonly phase: Phase;
  /** What the filter reads, as the WIT's heads; empty where the runner does not need it. */
  readonly head: string;
  readonly exchange: Exchange;
  /** The reply, or trailers. */
  readonly fields: Fields | undefined;
  /** Whose body may be read; `undefined` where the filter declares none. */
  readonly message: Message | undefined;
}

/** Calls handlers. */
export interface HandlerRunner {
  /** Whether calls need their heads. */
  readonly needsHead: boolean;
  run(call: HandlerCall): Decided | WaitingDecision;
  /** Calls about one connection, which none has begun yet. */
  connect(): ConnectionCalls;
  /** Fuel of the call that ended last at once. */
  readonly fuelUsed: number;
  stop(): void;
}

/** What a filter of any kind says of itself. */
export type Declared = Pick<Manifest, "reads" | "phases" | "body" | "cacheable">;

/** In the place of a tunnel's body, which has no end to wait for. */
const TUNNEL: Message = new Reply(200, "", new HeaderMap(), EMPTY_BODY);

export class PhasedFilter implements Filter {
  readonly name: string;
  readonly stage: FilterUse["stage"];
  readonly priority: number;
  readonly failurePolicy: "closed" | "open";
  readonly request?: Filter["request"] & {};
  readonly response?: Filter["response"] & {};
  readonly log?: Filter["log"] & {};
  readonly connection?: Filter["connection"] & {};
  wasKept: boolean | undefined;
  readonly #cache: VerdictCache<Kept> | undefined;
  readonly #runner: HandlerRunner;
  readonly #head: Head;
  readonly #permissions: (phase: Phase) => Permissions;

  constructor(use: FilterUse, declared: Declared, writes: Writes, runner: HandlerRunner, clock: Clock) {
    this.name = use.name;
    this.stage = use.stage;
    this.priority = use.priority;
    this.failurePolicy = use.failurePolicy;
    this.#runner = runner;
    const { phases, reads, body, cacheable } = declared;
    this.#cache = cacheable ? new VerdictCache(clock, sizeOf) : undefined;
    this.#head = runner.needsHead || cacheable ? compileHead(reads) : NO_HEAD;
    const request: Permissions = { phase: "request", writes, body: body.request };
    const response: Permissions = { phase: "response", writes, body: body.response };
    this.#permissions = (phase) =>
      phase === "request" ? request : phase === "response" ? response : { phase, writes, body: "none" };
    const down = phases.includes("request") ? request : undefined;
    const trailersDown = phases.includes("request-trailers");
    if (down !== undefined || trailersDown) {
      this.request = (exchange) => {
        const verdict = down === undefined ? PROCEED : this.#decide(down, exchange, undefined);
        return trailersDown ? this.#trail(verdict, "request-trailers", exchange, exchange) : verdict;
      };
    }
    const up = phases.includes("response") ? response : undefined;
    const trailersUp = phases.includes("response-trailers");
    if (up !== undefined || trailersUp) {
      this.response = (exchange, reply) => {
        const verdict = up === undefined ? PROCEED : this.#decide(up, exchange, reply);
        return trailersUp ? this.#trail(verdict, "response-trailers", exchange, reply) : verdict;
      };
    }
    if (phases.includes("log")) this.log = (exchange) => this.#logged(exchange);
    if (phases.includes("connection")) {
      const rules = { use, writes, head: compileConnectionHead(reads), connect: () => runner.connect() };
      this.connection = (session) => new FilterConnectionRun(rules, session);
    }
  }

  get fuelUsed(): number {
    return this.wasKept === true ? 0 : this.#runner.fuelUsed;
  }

  stop(): void {
    this.#runner.stop();
  }

  #decide(permissions: Permissions, exchange: Exchange, reply: Reply | undefined): Verdict | Promise<Verdict> {
    const { phase, body } = permissions;
    const head = reply === undefined ? this.#head.request(exchange) : this.#head.response(exchange, reply);
    if (this.#cache !== undefined) {
      const kept = this.#cache.get(head);
      this.wasKept = kept !== undefined;
      if (kept !== undefined) return this.#repeat(kept, exchange, reply);
    }
    const whole = exchange.upgrade === "" ? (reply ?? exchange) : TUNNEL;
    const message = body === "none" ? undefined : whole;
    const decided = this.#runner.run({ phase, head, exchange, fields: reply, message });
    if ("kind" in decided) return this.#settle(decided, head, permissions, exchange, reply);
    const stopWaiting = waitFor(decided, exchange);
    return new Promise((resolve, reject) => {
      decided.take((late) => {
        stopWaiting();
        try {
          resolve(withFuel(this.#settle(late, head, permissions, exchange, reply), late.fuel));
        } catch (error) {
          // A bug of the proxy's: it is this exchange's, and not of the guest that has just answered.
          reject(error);
        }
      });
    });
  }

  #settle(
    decided: Decided,
    head: string,
    permissions: Permissions,
    exchange: Exchange,
    reply: Reply | undefined,
  ): Verdict {
    if (this.#cache !== undefined) {
      // Others may have been answered while this one waited.
      this.wasKept = false;
    }
    const verdict = this.#verdictOf(decided, permissions, exchange, reply);
    // What is kept was found to be allowed, once for all.
    if (this.#cache !== undefined && verdict.kind !== "failed" && mayBeKept(decided))
      this.#cache.set(head, decided, decided.cacheMs);
    return verdict;
  }

  /** A decision that was kept, for another message with the same head, and so of the same phase. */
  #repeat(decided: Kept, exchange: Exchange, reply: Reply | undefined): Verdict {
    if (decided.kind === "reply") return this.#replyOf(decided.parts);
    applyEdits(decided.changes.edits, exchange, reply);
    return PROCEED;
  }

  #verdictOf(decided: Decided, permissions: Permissions, exchange: Exchange, reply: Reply | undefined): Verdict {
    switch (decided.kind) {
      case "proceed": {
        const reason = applyChanges(decided.changes, permissions, exchange, reply);
        if (reason === undefined) return PROCEED;
        decided.changes.transform?.cancel();
        return failedVerdict(this.name, reason);
      }
      case "reply":
        return this.#replyOf(decided.parts);
      case "failed":
        return failedVerdict(this.name, decided.message);
      case "lost":
        return { kind: "failed", failure: decided.cause };
    }
  }

  #replyOf(parts: ReplyParts): Verdict {
    const made = buildReply(this.name, parts);
    return typeof made === "string" ? failedVerdict(this.name, made) : { kind: "reply", reply: made };
  }

  /** What follows the body goes through the filter once it comes. */
  #trail(
    verdict: Verdict | Promise<Verdict>,
    phase: "request-trailers" | "response-trailers",
    exchange: Exchange,
    message: Message,
  ): Verdict | Promise<Verdict> {
    if (verdict instanceof Promise) return verdict.then((late) => this.#trail(late, phase, exchange, message));
    if (verdict.kind === "proceed" && message.body.lengthBytes !== 0 && exchange.upgrade === "")
      message.body = new TrailedBody(message.body, (trailers) => this.#decideTrailers(phase, exchange, trailers));
    return verdict;
  }

  #decideTrailers(
    phase: Phase,
    exchange: Exchange,
    trailers: HeaderMap,
  ): Failure | undefined | Promise<Failure | undefined> {
    const fields = { headers: trailers };
    const head = this.#head.response(exchange, fields);
    const decided = this.#runner.run({ phase, head, exchange, fields, message: undefined });
    const apply = (settled: Decided): Failure | undefined => {
      if (settled.kind === "lost") return settled.cause;
      let reason: string | undefined = "answered trailers with a reply";
      if (settled.kind === "proceed")
        reason = applyToTrailers(settled.changes.edits, this.#permissions(phase), exchange, trailers);
      else if (settled.kind === "failed") reason = settled.message;
      // The rest of the message went on already: to go on without the filter is all that `open` can mean here.
      if (reason === undefined || this.failurePolicy === "open") return undefined;
      return failure("filter_failed", `filter ${this.name}: ${reason}`);
    };
    return "kind" in decided ? apply(decided) : promiseOf(decided).then(apply);
  }

  #logged(exchange: Exchange): Verdict | Promise<Verdict> {
    const fields = { headers: exchange.reply?.headers ?? NO_FIELDS, status: exchange.status };
    const head = this.#head.response(exchange, fields);
    const decided = this.#runner.run({ phase: "log", head, exchange, fields, message: undefined });
    const apply = (settled: Decided): Verdict =>
      settled.kind === "failed" ? failedVerdict(this.name, settled.message) : PROCEED;
    return "kind" in decided ? apply(decided) : promiseOf(decided).then((late) => withFuel(apply(late), late.fuel));
  }
}

function withFuel(verdict: Verdict, fuel: number | undefined): Verdict {
  if (fuel === undefined) return verdict;
  return verdict === PROCEED ? { kind: "proceed", fuel } : { ...verdict, fuel };
}

const NO_FIELDS = new HeaderMap();
const NO_HEAD: Head = { request: () => "", response: () => "" };

type Kept = Extract<Decided, { kind: "proceed" | "reply" }>;

/** Only what is nothing but edits, or a reply: what a body became belongs to that body. */
function mayBeKept(decided: Decided): decided is Kept {
  if (decided.kind === "reply") return decided.cacheMs > 0;
  return (
    decided.kind === "proceed" &&
    decided.cacheMs > 0 &&
    decided.changes.replacement === undefined &&
    decided.changes.transform === undefined
  );
}

/** What a decision holds. */
function sizeOf(decided: Kept): number {
  let size = 0;
  if (decided.kind === "proceed") {
    for (const text of decided.changes.edits) size += text.length;
    return size;
  }
  const { headers, body } = decided.parts;
  for (const [name, value] of headers) size += name.length + value.length;
  return size + body.length;
}

/** While a filter waits, until it calls what this returns, it is told when the client leaves; whoever waited before is told too. */
function waitFor(waiting: WaitingDecision, exchange: Exchange): () => void {
  const before = exchange.waiter;
  const waiter: Waiter = {
    aborted: (cause) => {
      before?.aborted(cause);
      waiting.cancel(cause);
    },
  };
  exchange.waiter = waiter;
  return () => {
    if (exchange.waiter === waiter) exchange.waiter = before;
  };
}
