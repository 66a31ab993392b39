// What one call of a handler may ask of its host. In the sandbox these cross as the WIT says; natively the proxy answers
// the same strings, so that a filter meets one behaviour in both.

/** Kinds of operations that every proxy offers. */
export type OperationKind = "fetch" | "sleep" | "body";

/**
 * What becomes of an operation's outcome: a text by the WIT's grammar, and bytes. Run when it has ended, and not as a job
 * of its own, which would cost a guest one promise more.
 */
export type ReadOutcome<Value> = (outcome: string, payload: Uint8Array) => Value;

/** What few operations have. */
export interface OperationOptions {
  /** Bytes that go with the request. */
  readonly payload?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One call's way to its host. */
export interface CallPort {
  /**
   * Starts an operation; the promise becomes what `read` makes of its outcome, or rejects with what `read` throws. `signal`
   * gives it up early, and the call's own end gives up what still runs. Throws where the host offers no more operations to
   * this call.
   */
  operate<Value>(
    kind: OperationKind,
    request: string,
    read: ReadOutcome<Value>,
    options: OperationOptions | undefined,
  ): Promise<Value>;
  /** Aborted when nobody waits for the call any more: the client left, or time is up. */
  readonly signal: AbortSignal;
}

/** Why an operation brought nothing. `name` is `TimeoutError`, `AbortError` or `OperationError`, as the web names them. */
export class OperationError extends Error {
  constructor(name: "TimeoutError" | "AbortError" | "OperationError", message: string) {
    super(message);
    this.name = name;
  }
}

const FAILED = "failed ";

/** Throws where the outcome tells of a failure: `failed timeout …`, `failed aborted …`, `failed …`. */
export function checkOutcome(outcome: string): void {
  if (!outcome.startsWith(FAILED)) return;
  const message = outcome.slice(FAILED.length);
  if (message.startsWith("timeout ")) throw new OperationError("TimeoutError", message.slice(8));
  if (message.startsWith("aborted ")) throw new OperationError("AbortError", message.slice(8));
  throw new OperationError("OperationError", message);
}

/** No bytes. */
export const NOTHING: Uint8Array = new Uint8Array(0);
