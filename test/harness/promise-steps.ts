// Programs of promises, made at random: the same one runs over any promise, and writes down what happens as it happens. Imports
// nothing, so that it runs in Node too.

/** A promise, and the way to its queue of jobs. */
export interface PromiseKind {
  readonly Promise: typeof Promise;
  readonly enqueue: (job: () => void) => void;
  /** An `async` function, whose body yields where it would await. */
  readonly runAsync: (body: () => Generator<unknown, unknown>) => Promise<unknown>;
}

/** What a program makes: each step adds a promise, from those before it, and its end is written down. */
export type Step = readonly [
  kind: (typeof KINDS)[number],
  first: number,
  second: number,
  outcome: (typeof OUTCOMES)[number],
];

export const OUTCOMES = ["value", "throw", "promise", "rejected", "thenable", "late thenable"] as const;
export const KINDS = [
  "resolved",
  "rejected",
  "resolved with",
  "later",
  "then",
  "catch",
  "both",
  "finally",
  "all",
  "race",
  "any",
  "allSettled",
  "try",
  "job",
  "async",
  "async at once",
] as const;

/** Runs a program; what happened is written into `seen` as it happens. */
export function runSteps(
  { Promise: Made, enqueue, runAsync }: PromiseKind,
  steps: readonly Step[],
  seen: string[],
): void {
  const made: Promise<unknown>[] = [];
  steps.forEach(([kind, first, second, outcome], step) => {
    const earlier = (index: number): Promise<unknown> => made[index % Math.max(1, made.length)] ?? Made.resolve("none");
    const end = (what: string, value: unknown): unknown => {
      seen.push(`${step} ${what} ${render(value)}`);
      switch (outcome) {
        case "value":
          return `value ${step}`;
        case "throw":
          throw new Error(`thrown ${step}`);
        case "promise":
          return earlier(second);
        case "rejected":
          return Made.reject(new Error(`rejected ${step}`));
        case "thenable":
          // oxlint-disable-next-line unicorn/no-thenable -- One that settles at once, twice.
          return { then: (resolve: (value: unknown) => void) => (resolve(`thenable ${step}`), resolve("again")) };
        case "late thenable":
          return {
            // oxlint-disable-next-line unicorn/no-thenable -- One that settles later, and throws.
            then: (resolve: (value: unknown) => void) => {
              enqueue(() => resolve(`late ${step}`));
              if (step % 2 === 0) throw new Error("after all");
            },
          };
      }
    };
    made.push(add(kind, { Made, enqueue, runAsync, earlier, first, second, end, step }));
  });
  made.forEach((promise, index) => {
    promise.then(
      (value) => seen.push(`${index} is ${render(value)}`),
      (reason: unknown) => seen.push(`${index} failed ${render(reason)}`),
    );
  });
}

interface Parts {
  readonly Made: typeof Promise;
  readonly enqueue: PromiseKind["enqueue"];
  readonly runAsync: PromiseKind["runAsync"];
  readonly earlier: (index: number) => Promise<unknown>;
  readonly first: number;
  readonly second: number;
  readonly end: (what: string, value: unknown) => unknown;
  readonly step: number;
}

function add(kind: Step[0], { Made, enqueue, runAsync, earlier, first, second, end, step }: Parts): Promise<unknown> {
  const two = [earlier(first), earlier(second)];
  switch (kind) {
    case "resolved":
      return Made.resolve(`resolved ${step}`);
    case "rejected":
      return Made.reject(new Error(`rejected ${step}`));
    case "resolved with":
      return new Made((resolve) => resolve(earlier(first)));
    case "later": {
      const { promise, resolve } = Made.withResolvers<unknown>();
      enqueue(() => resolve(earlier(first)));
      return promise;
    }
    case "then":
      return earlier(first).then((value) => end("then", value));
    case "catch":
      return earlier(first).catch((reason: unknown) => end("catch", reason));
    case "both":
      return earlier(first).then(
        (value) => end("then", value),
        (reason: unknown) => end("catch", reason),
      );
    case "finally":
      return earlier(first).finally(() => void end("finally", ""));
    case "all":
      // oxlint-disable-next-line typescript/await-thenable -- A value that is no promise belongs among them.
      return Made.all([...two, "plain"]);
    case "race":
      return Made.race(two);
    case "any":
      return Made.any(two);
    case "allSettled":
      return Made.allSettled(two);
    case "try":
      return Made.try(() => end("try", ""));
    case "job":
      enqueue(
        () =>
          void earlier(first)
            .then((value) => end("job", value))
            .catch(() => undefined),
      );
      return Made.resolve(step);
    case "async":
      return runAsync(function* body() {
        let value: unknown = yield `plain ${step}`;
        try {
          value = yield earlier(first);
        } catch (error) {
          value = error;
        }
        end("awaited", value);
        return earlier(second);
      });
    case "async at once":
      return runAsync(function* body() {
        // What `end` makes is awaited too: promises, thenables and what is neither.
        yield end("began", "");
        return step;
      });
  }
}

function render(value: unknown): string {
  if (value instanceof AggregateError) return `all failed: ${value.errors.map(render).join(", ")}`;
  if (value instanceof Error) return messageOf(value);
  return JSON.stringify(value, (_, each: unknown) => (each instanceof Error ? messageOf(each) : each)) ?? "undefined";
}

/** The engine's own errors have words of its own. */
function messageOf(error: Error): string {
  if (error instanceof AggregateError) return "all failed";
  return error instanceof TypeError ? "a TypeError" : error.message;
}
