// The promise that filters run on. The build lowers `async` to generators over the global `Promise`, and the engine's own
// would need its event loop: this one keeps a job queue that the exports drain before they return, so that `await` works
// in any engine that can call a function, and in the same order everywhere.

type State<Value> =
  | { kind: "pending"; readonly reactions: Reaction<Value>[] }
  | { kind: "fulfilled"; readonly value: Value }
  | { kind: "rejected"; readonly reason: unknown };

interface Reaction<Value> {
  readonly fulfilled: (value: Value) => void;
  readonly rejected: (reason: unknown) => void;
}

type Resolve<Value> = (value: Value | PromiseLike<Value>) => void;
type Reject = (reason?: unknown) => void;

const jobs: (() => void)[] = [];

/** Runs the jobs that are due, and those that they make due, in order. */
export function drainJobs(): void {
  for (let index = 0; index < jobs.length; index++) {
    try {
      jobs[index]?.();
    } catch (error) {
      // Reactions catch for themselves, so this is `queueMicrotask` of the author's; what is left must not run in another call.
      jobs.length = 0;
      throw error;
    }
  }
  jobs.length = 0;
}

/** Whether `drainJobs` has something to do. */
export function hasJobs(): boolean {
  return jobs.length > 0;
}

/** Promises that were rejected, and that nobody has asked yet; what is beyond counts as asked. */
const unheard = new Set<Pick<GuestPromise<unknown>, "settled">>();
const UNHEARD_MAX = 1000;

/** Why a promise was rejected that nobody had asked when the jobs were done; all such are forgotten. `undefined` where there is none. */
export function takeUnhandled(): { readonly reason: unknown } | undefined {
  if (unheard.size === 0) return undefined;
  const [first] = unheard;
  unheard.clear();
  const settled = first?.settled;
  return settled?.ok === false ? settled : undefined;
}

/** Adds a job to the queue; the guest's `queueMicrotask`. */
export function addJob(job: () => void): void {
  jobs.push(job);
}

/** The parts of ECMA-262 §27.2 that handlers use; without subclassing, and with one queue for all. */
export class GuestPromise<Value> implements Promise<Value> {
  readonly [Symbol.toStringTag] = "Promise";
  #state: State<Value> = { kind: "pending", reactions: [] };

  constructor(executor: (resolve: Resolve<Value>, reject: Reject) => void) {
    const { resolve, reject } = this.#resolvers();
    try {
      executor(resolve, reject);
    } catch (error) {
      reject(error);
    }
  }

  /** What the promise settled to; `undefined` while it is pending. */
  get settled():
    | { readonly ok: true; readonly value: Value }
    | { readonly ok: false; readonly reason: unknown }
    | undefined {
    if (this.#state.kind === "pending") return undefined;
    return this.#state.kind === "fulfilled"
      ? { ok: true, value: this.#state.value }
      : { ok: false, reason: this.#state.reason };
  }

  // oxlint-disable-next-line unicorn/no-thenable -- This is a promise.
  then<Next = Value, Other = never>(
    onFulfilled?: ((value: Value) => Next | PromiseLike<Next>) | null,
    onRejected?: ((reason: unknown) => Other | PromiseLike<Other>) | null,
  ): GuestPromise<Next | Other> {
    return new GuestPromise<Next | Other>((resolve, reject) => {
      this.#react({
        fulfilled: (value) => {
          // Without a handler the value passes through, and `Next` is then `Value` itself.
          if (typeof onFulfilled === "function") attempt(() => resolve(onFulfilled(value)), reject);
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- As said above; a type cannot.
          else resolve(value as unknown as Next);
        },
        rejected: (reason) => {
          if (typeof onRejected === "function") attempt(() => resolve(onRejected(reason)), reject);
          else reject(reason);
        },
      });
    });
  }

  catch<Other = never>(
    onRejected?: ((reason: unknown) => Other | PromiseLike<Other>) | null,
  ): GuestPromise<Value | Other> {
    return this.then(undefined, onRejected);
  }

  finally(onFinally?: (() => void) | null): GuestPromise<Value> {
    return this.then(
      (value) => GuestPromise.resolve(onFinally?.()).then(() => value),
      (reason) =>
        GuestPromise.resolve(onFinally?.()).then(() => {
          throw reason;
        }),
    );
  }

  static resolve<Value>(value?: Value | PromiseLike<Value>): GuestPromise<Value> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Without a value, `Value` is `undefined`.
    return value instanceof GuestPromise ? value : new GuestPromise((resolve) => resolve(value as Value));
  }

  static reject<Value = never>(reason?: unknown): GuestPromise<Value> {
    return new GuestPromise((_, reject) => reject(reason));
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
      collect<Value, unknown>(values, (promise, index, found) =>
        promise.then(resolve, (reason) => found(index, reason)),
      ).then((reasons) => reject(new AggregateError(reasons, "all promises were rejected")));
    });
  }

  #resolvers(): { resolve: Resolve<Value>; reject: Reject } {
    let isDone = false;
    const once = (act: () => void): void => {
      if (isDone) return;
      isDone = true;
      act();
    };
    return {
      resolve: (value) => once(() => this.#resolve(value)),
      reject: (reason) => once(() => this.#settle({ kind: "rejected", reason })),
    };
  }

  #resolve(value: Value | PromiseLike<Value>): void {
    if (value === this)
      return this.#settle({ kind: "rejected", reason: new TypeError("a promise that waits for itself") });
    if (!isObject(value)) return this.#settle({ kind: "fulfilled", value });
    const { resolve, reject } = this.#resolvers();
    attempt(() => {
      const then: unknown = Reflect.get(value, "then");
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Without `then` it is no PromiseLike.
      if (typeof then !== "function") return this.#settle({ kind: "fulfilled", value: value as Value });
      addJob(() => attempt(() => Reflect.apply(then, value, [resolve, reject]), reject));
    }, reject);
  }

  #settle(state: Exclude<State<Value>, { kind: "pending" }>): void {
    if (this.#state.kind !== "pending") return;
    const { reactions } = this.#state;
    this.#state = state;
    if (state.kind === "rejected" && reactions.length === 0 && unheard.size < UNHEARD_MAX) unheard.add(this);
    for (const reaction of reactions) this.#react(reaction);
  }

  #react(reaction: Reaction<Value>): void {
    const state = this.#state;
    if (state.kind === "rejected") unheard.delete(this);
    if (state.kind === "pending") state.reactions.push(reaction);
    else if (state.kind === "fulfilled") addJob(() => reaction.fulfilled(state.value));
    else addJob(() => reaction.rejected(state.reason));
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

function attempt(run: () => void, reject: Reject): void {
  try {
    run();
  } catch (error) {
    reject(error);
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

function ignore(): void {}
