// Operations of the guest: each is a promise that `resume` settles. The host knows them by number.
import host from "vespid:filter/host@2.0.0";
import { OperationError, type CallPort, type OperationKind, type OperationOutcome } from "../port.ts";
import { GuestPromise } from "./promise.ts";

interface Waiting {
  readonly call: number;
  readonly resolve: (done: OperationOutcome) => void;
  readonly reject: (reason: unknown) => void;
}

const waiting = new Map<number, Waiting>();

/** One call's way to the proxy. */
export class GuestPort implements CallPort {
  readonly call: number;
  #controller: AbortController | undefined = undefined;

  constructor(call: number) {
    this.call = call;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  operate(
    kind: OperationKind,
    request: string,
    payload: Uint8Array,
    signal?: AbortSignal,
  ): GuestPromise<OperationOutcome> {
    return new GuestPromise((resolve, reject) => {
      if (signal?.aborted === true) return reject(gaveUp(signal));
      const operation = host.start(this.call, kind, request, payload);
      waiting.set(operation, { call: this.call, resolve, reject });
      signal?.addEventListener("abort", () => {
        if (!waiting.delete(operation)) return;
        host.stop(operation);
        reject(gaveUp(signal));
      });
      return undefined;
    });
  }

  /** Nobody waits for the call any more: its operations have ended, and what waits for them learns it. */
  abort(): void {
    for (const [operation, { call, reject }] of waiting) {
      if (call !== this.call) continue;
      waiting.delete(operation);
      reject(new OperationError("AbortError", "nobody waits for the call any more"));
    }
    this.#controller?.abort(new OperationError("AbortError", "nobody waits for the call any more"));
  }
}

/** An operation ended; one that is not known was given up meanwhile. */
export function settleOperation(operation: number, done: OperationOutcome): void {
  const one = waiting.get(operation);
  waiting.delete(operation);
  one?.resolve(done);
}

function gaveUp(signal: AbortSignal): unknown {
  return signal.reason ?? new OperationError("AbortError", "was given up");
}
