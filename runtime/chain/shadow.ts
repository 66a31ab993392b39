// A filter whose candidate looks on: it is asked about a copy of what the live version was asked about, when that one has
// decided, and what it decides is compared and forgotten. The exchange never waits for it, and what it takes of a worker is
// bounded: a fifth of its time, so many messages waiting, so many bytes of a body. What is beyond is skipped and counted.
//
// Not shadowed: trailers, the pieces of a body that is transformed on its way, and bodies larger than the bound.
import type { FilterUse } from "../contract/filter.ts";
import type { SeenVerdict } from "../contract/trial.ts";
import { bytesBody, EMPTY_BODY, type Body } from "../exchange/body.ts";
import type { Exchange, Schedule } from "../exchange/exchange.ts";
import type { Reply } from "../exchange/reply.ts";
import { CandidateHealth } from "./candidate-health.ts";
import { copyExchange, copyReply } from "./copied-exchange.ts";
import { PROCEED, type Filter, type Verdict } from "./filter.ts";
import { recordHeaders, recordRequest } from "./recorded-exchange.ts";
import { Redactor, Secrets } from "./secrets.ts";
import { describeVerdict, differ, type Described } from "./seen-verdict.ts";
import { TeedBody } from "./teed-body.ts";
import { ask, failureOf, isCancelled, summaryOf, type TrialParts, type TrialPhase } from "./trial.ts";
import { pictureOf, type Picture } from "./witness.ts";

/** Messages that wait for the candidate, in each worker. */
const WAITING_MAX = 64;
/** Messages about which it may think at once. */
const THINKING_MAX = 32;
/** After it worked it rests this many times as long. */
const REST_FACTOR = 4;
/** Of a body. */
const BODY_MAX_BYTES = 64 * 1024;

/** Whether the candidate may look at the bodies of a phase. */
export type ReadsBody = (phase: "request" | "response") => boolean;

/** Whether the candidate of a use may look at bodies; of a filter of the proxy's own it is not known here. */
export function readsBodyOf({ candidate }: FilterUse): ReadsBody {
  if (candidate?.source.kind !== "bundle") return () => true;
  const { body } = candidate.source.bundle.manifest;
  return (phase) => body[phase] !== "none";
}

export interface ShadowParts extends TrialParts {
  readonly readsBody: ReadsBody;
  readonly schedule: Schedule;
}

/** One message on its way to the candidate. */
interface Look {
  readonly phase: "request" | "response";
  readonly exchange: Exchange;
  readonly reply: Reply | undefined;
  readonly before: Picture;
  readonly redactor: Redactor;
  live: Described | undefined;
  isBodyHere: boolean;
}

export class ShadowedFilter implements Filter {
  readonly name: string;
  readonly stage: Filter["stage"];
  readonly priority: number;
  readonly failurePolicy: Filter["failurePolicy"];
  readonly request?: Filter["request"] & {};
  readonly response?: Filter["response"] & {};
  readonly log?: Filter["log"] & {};
  /** The live version's: connections are nobody's share. */
  readonly connection?: Filter["connection"] & {};
  readonly #parts: ShadowParts;
  readonly #health = new CandidateHealth();
  readonly #waiting: Look[] = [];
  /** Bodies that are on their way, of which each is kept. */
  #collecting = 0;
  #thinking = 0;
  #restUntilMs = 0;
  #isScheduled = false;
  #isStopped = false;

  constructor(parts: ShadowParts) {
    const { live, candidate } = parts;
    this.#parts = parts;
    this.name = live.name;
    this.stage = live.stage;
    this.priority = live.priority;
    this.failurePolicy = live.failurePolicy;
    if (live.request !== undefined || candidate.request !== undefined)
      this.request = (exchange) => this.#run("request", exchange, undefined);
    if (live.response !== undefined || candidate.response !== undefined)
      this.response = (exchange, reply) => this.#run("response", exchange, reply);
    if (live.log !== undefined || candidate.log !== undefined) this.log = (exchange) => this.#runLog(exchange);
    if (live.connection !== undefined) this.connection = live.connection;
  }

  /** The live version's: only what it does is the exchange's. */
  get fuelUsed(): number {
    return this.#parts.live.fuelUsed;
  }

  get wasKept(): boolean | undefined {
    return this.#parts.live.wasKept;
  }

  stop(): void {
    this.#isStopped = true;
    this.#waiting.length = 0;
    this.#parts.watch.ended();
  }

  #run(phase: Look["phase"], exchange: Exchange, reply: Reply | undefined): Verdict | Promise<Verdict> {
    const { live, choose, clock } = this.#parts;
    const look = !this.#isStopped && choose(exchange) ? this.#open(phase, exchange, reply) : undefined;
    const body = (reply ?? exchange).body;
    const startedMs = clock.monotonic();
    const pending = ask(live, phase, exchange, reply) ?? PROCEED;
    const told = (verdict: Verdict): Verdict => {
      this.#countLive(verdict, startedMs);
      if (look !== undefined) this.#decided(look, verdict, body, exchange, reply);
      return verdict;
    };
    return pending instanceof Promise ? pending.then(told) : told(pending);
  }

  /** Takes down what the candidate will be asked about; `undefined` where it is not to be asked. */
  #open(phase: Look["phase"], exchange: Exchange, reply: Reply | undefined): Look | undefined {
    const { candidate, watch, readsBody } = this.#parts;
    if (candidate[phase] === undefined) return undefined;
    if (this.#collecting + this.#waiting.length + this.#thinking >= WAITING_MAX) {
      watch.skipped();
      return undefined;
    }
    const message = reply ?? exchange;
    const isAsked = readsBody(phase) && message.body.lengthBytes !== 0 && exchange.upgrade === "";
    if (isAsked && (message.body.lengthBytes ?? 0) > BODY_MAX_BYTES) {
      watch.skipped();
      return undefined;
    }
    const copy = copyExchange(exchange, EMPTY_BODY);
    const copied = reply === undefined ? undefined : copyReply(reply, EMPTY_BODY);
    const before = pictureOf(copy, copied);
    const redactor = redactorOf(copy, copied);
    const look: Look = {
      phase,
      exchange: copy,
      reply: copied,
      before,
      redactor,
      live: undefined,
      isBodyHere: !isAsked,
    };
    if (isAsked) message.body = this.#tee(message.body, look);
    return look;
  }

  #tee(source: Body, look: Look): Body {
    this.#collecting++;
    return new TeedBody(source, BODY_MAX_BYTES, (bytes) => {
      this.#collecting--;
      if (bytes === undefined) return this.#parts.watch.skipped();
      (look.reply ?? look.exchange).body = bytesBody(bytes);
      look.isBodyHere = true;
      return this.#enqueue(look);
    });
  }

  #decided(look: Look, verdict: Verdict, body: Body, exchange: Exchange, reply: Reply | undefined): void {
    // What the exchange was lost for says nothing about the filter.
    if (isCancelled(verdict)) return;
    const after = pictureOf(exchange, reply);
    const { body: bodyNow } = reply ?? exchange;
    look.live = describeVerdict(verdict, look.before, after, { before: body, after: bodyNow });
    this.#enqueue(look);
  }

  #enqueue(look: Look): void {
    if (look.live === undefined || !look.isBodyHere || this.#isStopped) return;
    if (this.#waiting.length >= WAITING_MAX) return this.#parts.watch.skipped();
    this.#waiting.push(look);
    return this.#wake(0);
  }

  #wake(afterMs: number): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#parts.schedule(() => {
      this.#isScheduled = false;
      this.#drain();
    }, afterMs);
  }

  #drain(): void {
    const { clock } = this.#parts;
    while (this.#waiting.length > 0 && this.#thinking < THINKING_MAX) {
      const restMs = this.#restUntilMs - clock.monotonic();
      if (restMs > 0) return this.#wake(restMs);
      const look = this.#waiting.shift();
      if (look !== undefined) this.#look(look);
    }
  }

  #look(look: Look): void {
    const { candidate, clock } = this.#parts;
    const { phase, exchange, reply } = look;
    const message = reply ?? exchange;
    const body = message.body;
    const startedMs = clock.monotonic();
    const pending = ask(candidate, phase, exchange, reply) ?? PROCEED;
    this.#rest(startedMs);
    const told = (verdict: Verdict): void => {
      const seen = describeVerdict(verdict, look.before, pictureOf(exchange, reply), {
        before: body,
        after: message.body,
      });
      // Nobody will read it: a transform is told so.
      message.body.cancel();
      this.#told(look, verdict, seen, startedMs);
    };
    if (!(pending instanceof Promise)) return told(pending);
    this.#thinking++;
    void pending.then((verdict) => {
      this.#thinking--;
      told(verdict);
      return this.#wake(0);
    });
    return undefined;
  }

  #rest(startedMs: number): void {
    const nowMs = this.#parts.clock.monotonic();
    this.#restUntilMs = nowMs + (nowMs - startedMs) * REST_FACTOR;
  }

  #told({ phase, exchange, live, redactor }: Look, verdict: Verdict, seen: Described, startedMs: number): void {
    const { watch } = this.#parts;
    if (isCancelled(verdict) || live === undefined) return watch.skipped();
    this.#countCandidate(phase, exchange, verdict, startedMs);
    const [ofLive, ofCandidate]: readonly [SeenVerdict, SeenVerdict] = differ(live, seen, redactor);
    const isAlike =
      ofLive.edits.length + ofCandidate.edits.length === 0 &&
      ofLive.verdict === ofCandidate.verdict &&
      ofLive.status === ofCandidate.status &&
      ofLive.body === ofCandidate.body;
    return watch.compared(isAlike ? undefined : { phase, exchange, live: ofLive, candidate: ofCandidate });
  }

  #countCandidate(phase: TrialPhase, exchange: Exchange, verdict: Verdict, startedMs: number): void {
    const { watch, clock } = this.#parts;
    const nowMs = clock.monotonic();
    const failure = failureOf(verdict);
    watch.ran("candidate", failure !== undefined, nowMs - startedMs);
    if (failure !== undefined) watch.candidateFailed({ phase, exchange, failure });
    const reason = this.#health.record(failure !== undefined, nowMs);
    if (reason === undefined || this.#isStopped) return;
    this.#isStopped = true;
    this.#waiting.length = 0;
    watch.stopped(failure === undefined ? reason : `${reason}; the last: ${summaryOf(failure)}`);
  }

  #countLive(verdict: Verdict, startedMs: number): void {
    const { watch, clock } = this.#parts;
    if (!isCancelled(verdict)) watch.ran("live", failureOf(verdict) !== undefined, clock.monotonic() - startedMs);
  }

  /** The exchange is over: there is nothing to be kept apart and nothing to compare. */
  #runLog(exchange: Exchange): Verdict | Promise<Verdict> {
    const { live, candidate, choose, clock } = this.#parts;
    const verdict = live.log?.(exchange) ?? PROCEED;
    if (candidate.log === undefined || this.#isStopped || !choose(exchange)) return verdict;
    const startedMs = clock.monotonic();
    // It rests from these as from messages; what is over does not wait for it.
    if (startedMs < this.#restUntilMs) {
      this.#parts.watch.skipped();
      return verdict;
    }
    const told = (own: Verdict): void => {
      if (!isCancelled(own)) this.#countCandidate("log", exchange, own, startedMs);
    };
    const pending = candidate.log(exchange);
    this.#rest(startedMs);
    if (pending instanceof Promise) void pending.then(told);
    else told(pending);
    return verdict;
  }
}

const SECRETS = new Secrets();

/** Knows the secrets that both versions could see in heads. */
function redactorOf(exchange: Exchange, reply: Reply | undefined): Redactor {
  const redactor = new Redactor(SECRETS);
  recordRequest(exchange, redactor);
  if (reply !== undefined) recordHeaders(reply.headers, redactor);
  return redactor;
}
