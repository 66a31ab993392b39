// The promise that filters run on. The build lowers `async` to generators over the global `Promise`, and the engine's own
// would need its event loop: this one keeps a job queue that the exports drain before they return, so that `await` works
// in any engine that can call a function, and in the same order everywhere (ECMA-262 §27.2: each job below is one of its
// jobs). An interpreter runs it: tuples stand where closures would be shorter to write and records easier to read, since
// it makes a tuple in a third of the time of either; and a promise has two fields, since an object's third moves them all.

import { after } from "./after.ts";

const PENDING = 0;
const FULFILLED = 1;
const REJECTED = 2;
/** The part of a state that is one of these three. */
export const SETTLED = 3;
/** Somebody looks at what becomes of it. */
const HANDLED = 4;
/** Several wait for it. */
const MANY = 8;

type Resolve<Value> = (value: Value | PromiseLike<Value>) => void;
type Reject = (reason?: unknown) => void;
type Handle = (value: never) => unknown;

/** In a handler's place: the target is to wait for the source, which it was resolved with. */
const ADOPT = 0;

/**
 * What waits for a promise: `target` becomes what the handler makes of it, or what it is where there is no handler. A
 * generator is a lowered `async` function, which goes on with it.
 */
type Reaction = readonly [
  target: GuestPromise<unknown>,
  fulfilled: Handle | Lowered | typeof ADOPT | undefined,
  rejected: Handle | Lowered | typeof ADOPT | undefined,
  source: GuestPromise<unknown>,
];

type Lowered = Generator<unknown, unknown>;

/** Somebody who is told that a promise has settled, and makes nothing of it. What the promise does not read is theirs. */
export type Watcher = readonly [
  target: undefined,
  settled: (watcher: never) => void,
  mine: unknown,
  watched: GuestPromise<unknown>,
  ...unknown[],
];

/** A reaction that is due; or the author's `queueMicrotask`. */
type Job = Reaction | (() => void);

let jobs: Job[] = [];
/** Rejected, and nobody has asked for the reason yet. */
const unhandled = new Set<GuestPromise<unknown>>();
/** What is beyond counts as looked at. */
const UNHANDLED_MAX = 1000;
/** There was one since they were taken last: a variable, as each call asks. */
let mayBeUnhandled = false;

/** Runs the jobs that are due, and those that they make due, in order. */
export function drainJobs(): void {
  if (jobs.length === 0) return;
  for (let index = 0; index < jobs.length; index++) {
    const job = jobs[index];
    if (job === undefined) continue;
    try {
      if (typeof job === "function") job();
      else react(job);
    } catch (error) {
      // Reactions catch for themselves, so this is `queueMicrotask` of the author's; what is left must not run in another call.
      jobs = [];
      throw error;
    }
  }
  jobs = [];
}

/** Adds a job to the queue; the guest's `queueMicrotask`. */
export function addJob(job: Job): void {
  jobs.push(job);
  after.isDue = true;
}

/** Why a promise was rejected that nobody had looked at when the jobs were done; all such are forgotten. `undefined` where there is none. */
export function takeUnhandled(): { readonly reason: unknown } | undefined {
  if (!mayBeUnhandled) return undefined;
  mayBeUnhandled = false;
  const [first] = unhandled;
  unhandled.clear();
  return first && { reason: first.outcome };
}

/** The parts of ECMA-262 §27.2 that handlers use; without subclassing, and with one queue for all. */
export class GuestPromise<Value> implements Promise<Value> {
  /** @internal Pending, fulfilled or rejected, and whether somebody looks at it. */
  state: number = PENDING;
  /** @internal The value, or the reason; of one that is pending who waits for it, a list where these are several. */
  outcome: unknown = undefined;

  constructor(executor: (resolve: Resolve<Value>, reject: Reject) => void) {
    let isResolved = false;
    const reject = (reason?: unknown): void => {
      if (isResolved) return;
      isResolved = true;
      settle(this, REJECTED, reason);
    };
    try {
      executor((value) => {
        if (isResolved) return;
        isResolved = true;
        resolvePromise(this, value);
      }, reject);
    } catch (error) {
      reject(error);
    }
  }

  get [Symbol.toStringTag](): string {
    return "Promise";
  }

  // oxlint-disable-next-line unicorn/no-thenable -- This is a promise.
  then<Next = Value, Other = never>(
    onFulfilled?: ((value: Value) => Next | PromiseLike<Next>) | null,
    onRejected?: ((reason: unknown) => Other | PromiseLike<Other>) | null,
  ): GuestPromise<Next | Other> {
    const target = openPromise<Next | Other>();
    const fulfilled = typeof onFulfilled === "function" ? onFulfilled : undefined;
    observe([target, fulfilled, typeof onRejected === "function" ? onRejected : undefined, this]);
    return target;
  }

  catch<Other = never>(
    onRejected?: ((reason: unknown) => Other | PromiseLike<Other>) | null,
  ): GuestPromise<Value | Other> {
    return this.then(undefined, onRejected);
  }

  finally(onFinally?: (() => void) | null): GuestPromise<Value> {
    if (typeof onFinally !== "function") return this.then(onFinally, onFinally);
    return this.then(
      (value) => GuestPromise.resolve(onFinally()).then(() => value),
      (reason) =>
        GuestPromise.resolve(onFinally()).then(() => {
          throw reason;
        }),
    );
  }

  static resolve<Value>(value?: Value | PromiseLike<Value>): GuestPromise<Value> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a promise of this kind is one of its value
    if (value instanceof GuestPromise) return value as GuestPromise<Value>;
    const promise = openPromise<Value>();
    resolvePromise(promise, value);
    return promise;
  }

  static reject<Value = never>(reason?: unknown): GuestPromise<Value> {
    const promise = openPromise<Value>();
    settle(promise, REJECTED, reason);
    return promise;
  }

  /** @internal What the build lowers an `async` function to: it runs until it waits. */
  static lowered(
    self: unknown,
    given: unknown[] | null,
    run: (...values: unknown[]) => Lowered,
  ): GuestPromise<unknown> {
    const promise = openPromise<unknown>();
    try {
      goOn(promise, given === null ? run.call(self) : run.apply(self, given), true, undefined);
    } catch (error) {
      // A parameter's default threw.
      settle(promise, REJECTED, error);
    }
    return promise;
  }

  static withResolvers<Value>(): { promise: GuestPromise<Value>; resolve: Resolve<Value>; reject: Reject } {
    let resolve: Resolve<Value> = ignore;
    let reject: Reject = ignore;
    const promise = new GuestPromise<Value>((onResolve, onReject) => {
      resolve = onResolve;
      reject = onReject;
    });
    return { promise, resolve, reject };
  }

  static try<Value>(
    run: (...values: unknown[]) => Value | PromiseLike<Value>,
    ...values: unknown[]
  ): GuestPromise<Value> {
    return new GuestPromise((resolve) => resolve(run(...values)));
  }

  static all<Value>(values: Iterable<Value | PromiseLike<Value>>): GuestPromise<Value[]> {
    return collect(values, (promise, index, found, reject) => promise.then((value) => found(index, value), reject));
  }

  static allSettled<Value>(values: Iterable<Value | PromiseLike<Value>>): GuestPromise<PromiseSettledResult<Value>[]> {
    return collect<Value, PromiseSettledResult<Value>>(values, (promise, index, found) =>
      promise.then(
        (value) => found(index, { status: "fulfilled", value }),
        (reason) => found(index, { status: "rejected", reason }),
      ),
    );
  }

  static race<Value>(values: Iterable<Value | PromiseLike<Value>>): GuestPromise<Value> {
    return new GuestPromise((resolve, reject) => {
      for (const value of values) GuestPromise.resolve(value).then(resolve, reject);
    });
  }

  static any<Value>(values: Iterable<Value | PromiseLike<Value>>): GuestPromise<Value> {
    // The mirror of `all`: the first value wins, and only all reasons together reject.
    return new GuestPromise((resolve, reject) => {
      const all = [...values];
      const reasons: unknown[] = [];
      let waitingFor = all.length;
      const lose = (): void => reject(new AggregateError(reasons, "All promises were rejected"));
      if (waitingFor === 0) lose();
      for (const [index, value] of all.entries()) {
        GuestPromise.resolve(value).then(resolve, (reason) => {
          reasons[index] = reason;
          if (--waitingFor === 0) lose();
        });
      }
    });
  }
}

/** A promise that this module's functions settle: a literal, since a constructor's call costs the interpreter twice as much. */
export function openPromise<Value>(): GuestPromise<Value> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has the prototype and the fields of one
  return { __proto__: PROTOTYPE, state: PENDING, outcome: undefined } as unknown as GuestPromise<Value>;
}

const PROTOTYPE = GuestPromise.prototype;

/** Fulfils a promise of `openPromise` with what is no promise itself, or rejects it. */
export function settlePromise<Value>(promise: GuestPromise<Value>, isFulfilled: boolean, outcome: unknown): void {
  if ((promise.state & SETTLED) === PENDING) settle(promise, isFulfilled ? FULFILLED : REJECTED, outcome);
}

/**
 * As `settlePromise`, of a promise of `openPromise` that is pending, where the host has just entered: what waits runs at
 * once, as the job that it would be has none before it.
 */
export function settleFirst<Value>(promise: GuestPromise<Value>, isFulfilled: boolean, outcome: unknown): void {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what `join` put there
  const waiting = promise.outcome as Reaction | Watcher | undefined;
  if (promise.state !== HANDLED || waiting?.[0] === undefined) {
    settle(promise, isFulfilled ? FULFILLED : REJECTED, outcome);
    return;
  }
  promise.state = isFulfilled ? FULFILLED | HANDLED : REJECTED | HANDLED;
  promise.outcome = outcome;
  react(waiting);
}

/** Tells `watcher` when its promise has settled, at once and not as a job; it must not have settled yet. */
export function watch(watcher: Watcher): void {
  join(watcher[3], watcher);
}

/** Whether a promise that has settled was rejected; to ask counts as handling it. */
export function isRejected(promise: GuestPromise<unknown>): boolean {
  promise.state |= HANDLED;
  if ((promise.state & SETTLED) !== REJECTED) return false;
  unhandled.delete(promise);
  return true;
}

function observe(reaction: Reaction): void {
  const source = reaction[3];
  const state = source.state & SETTLED;
  if (state === PENDING) {
    join(source, reaction);
    return;
  }
  if ((source.state & HANDLED) === 0) {
    source.state |= HANDLED;
    if (state === REJECTED) unhandled.delete(source);
  }
  addJob(reaction);
}

/** Adds to those who wait for a pending promise. */
function join(source: GuestPromise<unknown>, waiting: Reaction | Watcher): void {
  const { outcome } = source;
  if (outcome === undefined) {
    source.state = HANDLED;
    source.outcome = waiting;
  } else if ((source.state & MANY) === 0) {
    source.state |= MANY;
    source.outcome = [outcome, waiting];
  } else {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the list of the branch above
    (outcome as (Reaction | Watcher)[]).push(waiting);
  }
}

function react(reaction: Reaction): void {
  const target = reaction[0];
  const source = reaction[3];
  const isFulfilled = (source.state & SETTLED) === FULFILLED;
  const handler = isFulfilled ? reaction[1] : reaction[2];
  if (typeof handler === "function") {
    let value: unknown;
    try {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `then` was given a handler of this promise's value
      value = handler(source.outcome as never);
    } catch (error) {
      settle(target, REJECTED, error);
      return;
    }
    resolvePromise(target, value);
  } else if (typeof handler === "object") {
    goOn(target, handler, isFulfilled, source.outcome);
  } else if (handler === ADOPT) {
    observe([target, undefined, undefined, source]);
  } else {
    settle(target, isFulfilled ? FULFILLED : REJECTED, source.outcome);
  }
}

/** Goes on with a lowered function until it waits or is over (§27.7.5.3). */
function goOn(promise: GuestPromise<unknown>, run: Lowered, isFulfilled: boolean, outcome: unknown): void {
  let step: IteratorResult<unknown, unknown>;
  try {
    step = isFulfilled ? run.next(outcome) : run.throw(outcome);
    if (!step.done) {
      const { value } = step;
      observe([promise, run, run, value instanceof GuestPromise ? value : GuestPromise.resolve(value)]);
      return;
    }
  } catch (error) {
    settle(promise, REJECTED, error);
    return;
  }
  resolvePromise(promise, step.value);
}

/** §27.2.1.3.2, from step 7 on. */
function resolvePromise(promise: GuestPromise<unknown>, value: unknown): void {
  if ((typeof value !== "object" || value === null) && typeof value !== "function") {
    settle(promise, FULFILLED, value);
    return;
  }
  if (value === promise) {
    settle(promise, REJECTED, new TypeError("a promise that waits for itself"));
    return;
  }
  if (value instanceof GuestPromise && value.then === PROTOTYPE.then) {
    addJob([promise, ADOPT, ADOPT, value]);
    return;
  }
  let then: unknown;
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- whatever it is; a getter may throw
    ({ then } = value as { then?: unknown });
  } catch (error) {
    settle(promise, REJECTED, error);
    return;
  }
  if (typeof then === "function") addJob(() => follow(promise, value, then));
  else settle(promise, FULFILLED, value);
}

/** Becomes what somebody else's promise becomes. */
function follow(promise: GuestPromise<unknown>, value: object, then: CallableFunction): void {
  let isOver = false;
  try {
    Reflect.apply(then, value, [
      (next: unknown) => {
        if (isOver) return;
        isOver = true;
        resolvePromise(promise, next);
      },
      (reason: unknown) => {
        if (isOver) return;
        isOver = true;
        settle(promise, REJECTED, reason);
      },
    ]);
  } catch (error) {
    if (!isOver) settle(promise, REJECTED, error);
    isOver = true;
  }
}

function settle(promise: GuestPromise<unknown>, settled: typeof FULFILLED | typeof REJECTED, outcome: unknown): void {
  const { state, outcome: waiting } = promise;
  promise.state = settled | (state & HANDLED);
  promise.outcome = outcome;
  if (waiting === undefined) {
    // Nobody waits for it yet.
    if (settled === REJECTED && (state & HANDLED) === 0 && unhandled.size < UNHANDLED_MAX) {
      unhandled.add(promise);
      mayBeUnhandled = true;
      after.isDue = true;
    }
  } else if ((state & MANY) === 0) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what `join` put there
    tell(waiting as Reaction | Watcher);
  } else {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what `join` put there
    const all = waiting as (Reaction | Watcher)[];
    // By index: an iterator costs the interpreter more than what it walks over.
    for (let index = 0; index < all.length; index++) {
      const one = all[index];
      if (one !== undefined) tell(one);
    }
  }
}

function tell(waiting: Reaction | Watcher): void {
  if (waiting[0] !== undefined) addJob(waiting);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each is told of itself
  else waiting[1](waiting as never);
}

/** Waits for each of `values` as `wait` says, and resolves to what was found, in order. */
function collect<Value, Found>(
  values: Iterable<Value | PromiseLike<Value>>,
  wait: (
    promise: GuestPromise<Value>,
    index: number,
    found: (index: number, value: Found) => void,
    reject: Reject,
  ) => unknown,
): GuestPromise<Found[]> {
  return new GuestPromise((resolve, reject) => {
    const all = [...values];
    const results: Found[] = [];
    let waitingFor = all.length;
    if (waitingFor === 0) resolve(results);
    const found = (index: number, value: Found): void => {
      results[index] = value;
      if (--waitingFor === 0) resolve(results);
    };
    all.forEach((value, index) => wait(GuestPromise.resolve(value), index, found, reject));
  });
}

function ignore(): void {}
