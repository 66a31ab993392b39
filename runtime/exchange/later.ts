// An outcome that waits for an upstream. What is to become of it is kept here and done in the call that settles it: promises
// would cost each exchange one for every layer and a turn of the microtask queue, in which the reply's body, which mostly
// comes with its head, would have to be kept.
import type { Answer, Exchange, Outcome } from "./exchange.ts";

/** What a layer does with an outcome on its way up. One function for all exchanges: closures cost each of them. */
export type Step = (outcome: Outcome, exchange: Exchange) => Answer;

/** Who answers the downstream. */
export interface OutcomeTaker {
  answer(outcome: Outcome): void;
  /** A layer threw. */
  bug(error: unknown): void;
}

/** One exchange's outcome. Layers add steps, innermost first, and the codec takes what they make of it. */
export abstract class Later {
  protected readonly exchange: Exchange;
  #first: Step | undefined = undefined;
  #second: Step | undefined = undefined;
  #others: Step[] | undefined = undefined;
  #taker: OutcomeTaker | undefined = undefined;
  #outcome: Outcome | undefined = undefined;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
  }

  /** Adds a step. */
  through(step: Step): this {
    if (this.#first === undefined) this.#first = step;
    else if (this.#second === undefined) this.#second = step;
    else (this.#others ??= []).push(step);
    return this;
  }

  /** No more steps: `taker` is told once, now where the outcome is here. */
  take(taker: OutcomeTaker): void {
    this.#taker = taker;
    if (this.#outcome !== undefined) this.#run(this.#outcome, taker);
  }

  /** Called once. */
  protected settle(outcome: Outcome): void {
    this.#outcome = outcome;
    if (this.#taker !== undefined) this.#run(outcome, this.#taker);
  }

  #run(outcome: Outcome, taker: OutcomeTaker): void {
    let answer: Answer = outcome;
    try {
      if (this.#first !== undefined) answer = continued(answer, this.exchange, this.#first);
      if (this.#second !== undefined) answer = continued(answer, this.exchange, this.#second);
      if (this.#others !== undefined) for (const step of this.#others) answer = continued(answer, this.exchange, step);
    } catch (error) {
      taker.bug(error);
      return;
    }
    deliver(answer, taker);
  }
}

/** Applies a step to an outcome now where it is here, later where it is not. */
export function continued(answer: Answer, exchange: Exchange, step: Step): Answer {
  if (answer instanceof Later) return answer.through(step);
  if (answer instanceof Promise) return answer.then((outcome) => promised(step(outcome, exchange)));
  return step(answer, exchange);
}

/** The same answer for those who wait by promises. */
export function promised(answer: Answer): Outcome | Promise<Outcome> {
  if (!(answer instanceof Later)) return answer;
  return new Promise((resolve, reject) => {
    answer.take({ answer: resolve, bug: reject });
  });
}

/** Gives an answer to who takes it. */
export function deliver(answer: Answer, taker: OutcomeTaker): void {
  if (answer instanceof Later) {
    answer.take(taker);
  } else if (answer instanceof Promise) {
    answer.then(
      (outcome) => taker.answer(outcome),
      (error: unknown) => taker.bug(error),
    );
  } else {
    taker.answer(answer);
  }
}
