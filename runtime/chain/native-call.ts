// A native handler's call, with its way to the host: the operations that a sandboxed one has, with the same bounds.
import type { CallHost } from "../../sdk/context.ts";
import {
  NOTHING,
  OperationError,
  type OperationKind,
  type OperationOptions,
  type ReadOutcome,
} from "../../sdk/port.ts";
import type { FilterLimits } from "../contract/filter.ts";
import type { Failure } from "../exchange/failure.ts";
import type { Operation, Operations } from "./operations.ts";
import type { Message } from "./whole-body.ts";

export class NativeCall {
  readonly #operations: Operations;
  readonly #limits: FilterLimits;
  readonly #message: Message | undefined;
  /** What waits for each operation; made when there is one, as most calls have none. */
  #running: Map<Operation, (reason: Error) => void> | undefined = undefined;
  #controller: AbortController | undefined = undefined;
  #started = 0;
  /** Told when the message's body cannot be had. */
  onBodyFailed: ((cause: Failure) => void) | undefined = undefined;

  constructor(operations: Operations, limits: FilterLimits, message: Message | undefined) {
    this.#operations = operations;
    this.#limits = limits;
    this.#message = message;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  operate<Value>(
    kind: OperationKind,
    request: string,
    read: ReadOutcome<Value>,
    { payload = NOTHING, signal }: OperationOptions = {},
  ): Promise<Value> {
    if (signal?.aborted === true) return Promise.reject(gaveUp(signal));
    const { operationsMax } = this.#limits;
    if (this.#started++ >= operationsMax)
      return Promise.reject(new OperationError("OperationError", `started more than ${operationsMax} operations`));
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    const started = this.#operations.start(kind, request, payload, {
      message: this.#message,
      bodyFailed: (cause) => this.onBodyFailed?.(cause),
      ended: (outcome, brought) => {
        signal?.removeEventListener("abort", onAbort);
        this.#running?.delete(operation);
        try {
          return resolve(read(outcome, brought));
        } catch (error) {
          return reject(error);
        }
      },
    });
    if (!started.ok) return Promise.reject(new OperationError("OperationError", started.error));
    const operation = started.value;
    (this.#running ??= new Map()).set(operation, reject);
    const onAbort = (): void => {
      operation.stop();
      reject(gaveUp(signal));
    };
    signal?.addEventListener("abort", onAbort);
    return promise;
  }

  /** Another call about the same connection begins, with operations of its own. */
  renew(): void {
    this.#started = 0;
  }

  /** Nobody waits for the call any more. */
  abort(): void {
    const reason = new OperationError("AbortError", "nobody waits for the call any more");
    for (const [operation, reject] of this.#running ?? []) {
      operation.stop();
      reject(reason);
    }
    this.#running?.clear();
    this.#controller?.abort(reason);
  }
}

function gaveUp(signal: AbortSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : new OperationError("AbortError", "was given up");
}

/** Calls do for themselves what they ask. */
export const ITSELF: CallHost<NativeCall> = {
  operate: (call, kind, request, read, options) => call.operate(kind, request, read, options),
  signalOf: (call) => call.signal,
};
