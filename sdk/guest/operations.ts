// Operations of the guest: each is a promise that `resume` settles. The host knows them, and the calls, by number.
import host from "vespid:filter/host@2.0.0";
import type { CallHost } from "../context.ts";
import { NOTHING, OperationError, type ReadOutcome } from "../port.ts";
import { after } from "./after.ts";
import { GuestPromise, openPromise, settleFirst, settlePromise } from "./promise.ts";

/** A tuple, as each operation makes one. */
type Waiting = readonly [call: number, promise: GuestPromise<unknown>, read: ReadOutcome<unknown>];

const waiting = new Map<number, Waiting>();
/** Of calls that asked for their signal and are not over. */
const controllers = new Map<number, AbortController>();

/** The proxy, as calls see it. */
export const proxy: CallHost<number> = {
  operate: (call, kind, request, read, options) => {
    if (options?.signal?.aborted === true) return GuestPromise.reject(gaveUp(options.signal));
    const promise = openPromise<ReturnType<typeof read>>();
    const operation = host.start(call, kind, request, options?.payload ?? NOTHING);
    waiting.set(operation, [call, promise, read]);
    const signal = options?.signal;
    signal?.addEventListener("abort", () => {
      if (!waiting.delete(operation)) return;
      host.stop(operation);
      settlePromise(promise, false, gaveUp(signal));
    });
    return promise;
  },
  signalOf: (call) => {
    let controller = controllers.get(call);
    if (controller === undefined) {
      controller = new AbortController();
      controllers.set(call, controller);
      after.isDue = true;
    }
    return controller.signal;
  },
};

/** An operation ended, for which the host has just entered; one that is not known was given up meanwhile. */
export function settleOperation(operation: number, outcome: string, payload: Uint8Array): void {
  const one = waiting.get(operation);
  if (one === undefined) return;
  waiting.delete(operation);
  const promise = one[1];
  let value: unknown;
  try {
    value = one[2](outcome, payload);
  } catch (error) {
    settleFirst(promise, false, error);
    return;
  }
  settleFirst(promise, true, value);
}

/** Nobody waits for a call any more: its operations have ended, and what waits for them learns it. */
export function abortCall(number: number): void {
  const reason = new OperationError("AbortError", "nobody waits for the call any more");
  for (const [operation, [call, promise]] of waiting) {
    if (call !== number) continue;
    waiting.delete(operation);
    settlePromise(promise, false, reason);
  }
  controllers.get(number)?.abort(reason);
}

/** A call's handler has returned: nothing asks for its signal any more. */
export function forgetCall(number: number): void {
  if (controllers.size > 0) controllers.delete(number);
}

function gaveUp(signal: AbortSignal): unknown {
  return signal.reason ?? new OperationError("AbortError", "was given up");
}
