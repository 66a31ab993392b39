// One adapter as rules meet it: its answers kept where they hold, its failures counted, and not asked for a while where it
// keeps failing.
import { Circuit } from "../chain/circuit.ts";
import type { Adapter } from "../contract/adapter.ts";
import type { AdapterObserver } from "../exchange/adapter-observer.ts";
import type { Clock } from "../exchange/exchange.ts";
import type { AdapterAnswer, Asking, Backend, Question } from "./adapter.ts";
import { CheckCache } from "./check-cache.ts";

/** An answer, and whether the adapter was asked for it. */
export interface Answered {
  readonly answer: AdapterAnswer;
  readonly isCached: boolean;
}

/** What it works with. */
export interface LiveParts {
  readonly clock: Clock;
  readonly observer: AdapterObserver;
}

export class LiveAdapter {
  readonly name: string;
  readonly backend: Backend;
  readonly failurePolicy: Adapter["failurePolicy"];
  readonly #clock: Clock;
  readonly #observer: AdapterObserver;
  readonly #circuit = new Circuit();
  readonly #caches: Readonly<Record<"check" | "quota", CheckCache>>;

  constructor({ name, failurePolicy }: Adapter, backend: Backend, { clock, observer }: LiveParts) {
    this.name = name;
    this.backend = backend;
    this.failurePolicy = failurePolicy;
    this.#clock = clock;
    this.#observer = observer;
    this.#caches = { check: new CheckCache(clock), quota: new CheckCache(clock) };
  }

  /** Asks, or remembers. */
  ask(phase: "check" | "quota", question: Question): Answered | Promise<Answered> {
    const asking = this.backend[phase];
    if (asking === undefined) return this.#tell(phase, failed(`is not for ${phase}`), 0);
    const key = asking.keepsAnswers ? (asking.keyOf ?? keyOfInstance)(question) : undefined;
    const kept = key === undefined ? undefined : this.#caches[phase].get(key);
    if (kept !== undefined) {
      this.#observer.asked({ ...this.#told(phase, kept), isCached: true, tookMs: 0 });
      return { answer: kept, isCached: true };
    }
    const startedMs = this.#clock.monotonic();
    if (!this.#circuit.allows(startedMs)) return this.#tell(phase, RESTING, 0);
    const answer = attempt(asking, question);
    if (answer instanceof Promise) return answer.then((late) => this.#settle(phase, late, key, startedMs, question));
    return this.#settle(phase, answer, key, startedMs, question);
  }

  #settle(
    phase: "check" | "quota",
    answer: AdapterAnswer,
    key: string | undefined,
    startedMs: number,
    { signal }: Question,
  ): Answered {
    const nowMs = this.#clock.monotonic();
    // An adapter that was given up on is not at fault.
    if (signal.aborted) this.#circuit.forget();
    else this.#circuit.record(answer.kind === "failed", nowMs);
    if (key !== undefined && answer.kind !== "failed") this.#caches[phase].set(key, answer);
    return this.#tell(phase, answer, nowMs - startedMs, signal.aborted);
  }

  #tell(phase: "check" | "quota", answer: AdapterAnswer, tookMs: number, isCancelled = false): Answered {
    const told = this.#told(phase, answer);
    this.#observer.asked({ ...told, ...(isCancelled ? CANCELLED : {}), isCached: false, tookMs });
    return { answer, isCached: false };
  }

  #told(phase: "check" | "quota", answer: AdapterAnswer) {
    const reason = answer.kind === "failed" ? answer.message : "";
    return { adapter: this.name, phase, outcome: answer.kind, reason };
  }
}

const CANCELLED = { outcome: "cancelled", reason: "" } as const;
const RESTING = failed("keeps failing, and is not asked for a while");

function failed(message: string): AdapterAnswer {
  return { kind: "failed", message };
}

/** A backend that throws has a bug, which costs its request what any failure costs. */
function attempt({ ask }: Asking, question: Question): AdapterAnswer | Promise<AdapterAnswer> {
  try {
    const answer = ask(question);
    return answer instanceof Promise ? answer.catch((error: unknown) => failed(String(error))) : answer;
  } catch (error) {
    return failed(String(error));
  }
}

/** What was asked, as text: equal questions have equal texts. */
function keyOfInstance({ instance: { name, value, attributes }, isBestEffort }: Question): string {
  return JSON.stringify([name, isBestEffort, value, attributes]);
}
