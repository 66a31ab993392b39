// A filter with a candidate beside it, as those see it who keep count of both.
import type { Phase } from "../contract/bundle.ts";
import type { SeenVerdict } from "../contract/trial.ts";
import type { Clock, Exchange } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import type { Reply } from "../exchange/reply.ts";
import type { Choose } from "./choice.ts";
import type { Filter, Verdict } from "./filter.ts";

/** Phases that both versions may be asked in. */
export type TrialPhase = Extract<Phase, "request" | "response" | "log">;

/** One run of the candidate that failed. */
export interface CandidateFailure {
  readonly phase: TrialPhase;
  readonly exchange: Exchange;
  readonly failure: Failure;
}

/** Two verdicts about one message. */
export interface Compared {
  readonly phase: TrialPhase;
  readonly exchange: Exchange;
  readonly live: SeenVerdict;
  readonly candidate: SeenVerdict;
}

/** Takes what a trial tells. Never throws, never waits. */
export interface TrialWatch {
  ran(version: "live" | "candidate", hasFailed: boolean, tookMs: number): void;
  candidateFailed(failed: CandidateFailure): void;
  /** A shadow decided like the live version, or (`difference`) otherwise. */
  compared(difference: Compared | undefined): void;
  /** A shadow was too busy for a message, or could not see its body. */
  skipped(): void;
  /** The candidate is not asked any more. */
  stopped(reason: string): void;
  /** Nobody runs the trial any more; what was counted is told once more. */
  ended(): void;
}

/** What a trial is made of. */
export interface TrialParts {
  readonly live: Filter;
  readonly candidate: Filter;
  readonly choose: Choose;
  readonly watch: TrialWatch;
  readonly clock: Clock;
}

/** Asks a filter in a phase; `undefined` where it has no handler for it. */
export function ask(
  filter: Filter,
  phase: TrialPhase,
  exchange: Exchange,
  reply: Reply | undefined,
): Verdict | Promise<Verdict> | undefined {
  switch (phase) {
    case "request":
      return filter.request?.(exchange);
    case "response":
      return reply === undefined ? undefined : filter.response?.(exchange, reply);
    case "log":
      return filter.log?.(exchange);
  }
}

/** Why the filter itself failed; `undefined` where it decided, or its exchange was lost. */
export function failureOf(verdict: Verdict): Failure | undefined {
  return verdict.kind === "failed" && verdict.failure.kind === "filter_failed" ? verdict.failure : undefined;
}

/** Whether it was kept from deciding. */
export function isCancelled(verdict: Verdict): boolean {
  return verdict.kind === "failed" && verdict.failure.kind !== "filter_failed";
}

/** Why it failed, in one line: where it was thrown is told in the proxy's log, by the author's lines. */
export function summaryOf({ message }: Failure): string {
  return message.split("\n", 1)[0] ?? "";
}
