// The promise that filters run on. The build lowers `async` to generators over the global `Promise`, and the engine's own
// would need its event loop: this one keeps a job queue that the exports drain before they return, so that `await` works
// in any engine that can call a function, and in the same order everywhere (ECMA-262 §27.2: each job below is one of its
// jobs). An interpreter runs it, so records stand where closures would be shorter to write.

import { after } from "./after.ts";

const PENDING = 0;
const FULFILLED = 1;
const REJECTED = 2;

type Resolve<Value> = (value: Value | PromiseLike<Value>) => void;
type Reject = (reason?: unknown) => void;
type Handler = ((value: never) => unknown) | null | undefined;

/** What waits for a promise: `target` becomes what the handler makes of it, or what it is where there is no handler. */
interface Reaction {
  readonly source: GuestPromise<unknown>;
  readonly target: GuestPromise<unknown>;
  readonly fulfilled: Handler;
  readonly rejected: Handler;
}

/** Somebody who is told that a promise has settled, and makes nothing of it. */
export interface Watcher {
  readonly watched: GuestPromise<unknown>;
  settled(): void;
}

/** A reaction that is due; a promise that was resolved with another; or the author's `queueMicrotask`. */
type Job = Reaction | { readonly adopts: GuestPromise<unknown>; readonly target: GuestPromise<unknown> } | (() => void);

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
      else if ("adopts" in job) adopt(job.adopts, job.target);
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
  /** @internal For this module: pending, fulfilled or rejected. */
  state: 0 | 1 | 2 = PENDING;
  /** @internal The value, or the reason. */
  outcome: unknown = undefined;
  /** @internal Somebody looks at what becomes of it. */
  isHandled = false;
  /** @internal */
  reactions: (Reaction | Watcher)[] | undefined = undefined;

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
    observe({ source: this, target, fulfilled: onFulfilled, rejected: onRejected });
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
  const open = { __proto__: PROTOTYPE, state: PENDING, outcome: undefined, isHandled: false, reactions: undefined };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has the prototype and the fields of one
  return open as unknown as GuestPromise<Value>;
}

const PROTOTYPE = GuestPromise.prototype;

/** Fulfils a promise of `openPromise` with what is no promise itself, or rejects it. */
export function settlePromise<Value>(promise: GuestPromise<Value>, isFulfilled: boolean, outcome: unknown): void {
  if (promise.state === PENDING) settle(promise, isFulfilled ? FULFILLED : REJECTED, outcome);
}

/** Tells `watcher` when its promise has settled, at once and not as a job; it must not have settled yet. */
export function watch(watcher: Watcher): void {
  const { watched } = watcher;
  watched.isHandled = true;
  if (watched.reactions === undefined) watched.reactions = [watcher];
  else watched.reactions.push(watcher);
}

/** Whether a promise that has settled was rejected; to ask counts as handling it. */
export function isRejected(promise: GuestPromise<unknown>): boolean {
  promise.isHandled = true;
  if (promise.state !== REJECTED) return false;
  unhandled.delete(promise);
  return true;
}

function observe(reaction: Reaction): void {
  const { source } = reaction;
  if (!source.isHandled) {
    source.isHandled = true;
    if (source.state === REJECTED) unhandled.delete(source);
  }
  if (source.state !== PENDING) addJob(reaction);
  else if (source.reactions === undefined) source.reactions = [reaction];
  else source.reactions.push(reaction);
}

function react({ source, target, fulfilled, rejected }: Reaction): void {
  const handler = source.state === FULFILLED ? fulfilled : rejected;
  if (typeof handler !== "function") {
    settle(target, source.state === FULFILLED ? FULFILLED : REJECTED, source.outcome);
    return;
  }
  let value: unknown;
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `then` was given a handler of this promise's value
    value = handler(source.outcome as never);
  } catch (error) {
    settle(target, REJECTED, error);
    return;
  }
  resolvePromise(target, value);
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
  if (value instanceof GuestPromise && value.then === GuestPromise.prototype.then) {
    addJob({ adopts: value, target: promise });
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

/** Becomes what another promise becomes. */
function adopt(source: GuestPromise<unknown>, target: GuestPromise<unknown>): void {
  observe({ source, target, fulfilled: undefined, rejected: undefined });
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

function settle(promise: GuestPromise<unknown>, state: 1 | 2, outcome: unknown): void {
  promise.state = state;
  promise.outcome = outcome;
  const { reactions } = promise;
  if (reactions !== undefined) {
    promise.reactions = undefined;
    // By index: an iterator costs the interpreter more than what it walks over.
    for (let index = 0; index < reactions.length; index++) {
      const reaction = reactions[index];
      if (reaction === undefined) continue;
      if ("watched" in reaction) reaction.settled();
      else addJob(reaction);
    }
  } else if (state === REJECTED && !promise.isHandled && unhandled.size < UNHANDLED_MAX) {
    unhandled.add(promise);
    mayBeUnhandled = true;
    after.isDue = true;
  }
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
