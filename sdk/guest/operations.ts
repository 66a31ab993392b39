// Operations of the guest: each is a promise that `resume` settles. The host knows them, and the calls, by number.
import host from "vespid:filter/host@2.0.0";
import type { CallHost } from "../context.ts";
import { OperationError, type OperationOutcome } from "../port.ts";
import { GuestPromise, openPromise, settlePromise } from "./promise.ts";

interface Waiting {
  readonly call: number;
  readonly promise: GuestPromise<OperationOutcome>;
}

const waiting = new Map<number, Waiting>();
/** Of calls that asked for their signal and are not over. */
const controllers = new Map<number, AbortController>();
/** There was one: a variable, as each call asks. */
let hasControllers = false;

/** The proxy, as calls see it. */
export const proxy: CallHost<number> = {
  operate: (call, kind, request, payload, signal) => {
    if (signal?.aborted === true) return GuestPromise.reject(gaveUp(signal));
    const promise = openPromise<OperationOutcome>();
    const operation = host.start(call, kind, request, payload);
    waiting.set(operation, { call, promise });
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
      hasControllers = true;
    }
    return controller.signal;
  },
};

/** An operation ended; one that is not known was given up meanwhile. */
export function settleOperation(operation: number, done: OperationOutcome): void {
  const one = waiting.get(operation);
  waiting.delete(operation);
  if (one !== undefined) settlePromise(one.promise, true, done);
}

/** Nobody waits for a call any more: its operations have ended, and what waits for them learns it. */
export function abortCall(number: number): void {
  const reason = new OperationError("AbortError", "nobody waits for the call any more");
  for (const [operation, { call, promise }] of waiting) {
    if (call !== number) continue;
    waiting.delete(operation);
    settlePromise(promise, false, reason);
  }
  controllers.get(number)?.abort(reason);
}

/** A call's handler has returned: nothing asks for its signal any more. */
export function forgetCall(number: number): void {
  if (!hasControllers) return;
  controllers.delete(number);
  hasControllers = controllers.size > 0;
}

function gaveUp(signal: AbortSignal): unknown {
  return signal.reason ?? new OperationError("AbortError", "was given up");
}
