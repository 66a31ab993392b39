// Operations of the guest: the engine keeps them, and the promise of each.
import { abort, giveUp, operate } from "vespid:engine";
import type { CallHost } from "../context.ts";
import { NOTHING, OperationError } from "../port.ts";
import { after } from "./after.ts";

/** Of calls that asked for their signal and are not over. */
const controllers = new Map<number, AbortController>();

/** The proxy, as calls see it. */
export const proxy: CallHost<number> = {
  operate: (call, kind, request, read, options) => {
    if (options === undefined) return operate(call, kind, request, NOTHING, read);
    const { signal, payload = NOTHING } = options;
    if (signal?.aborted === true) return Promise.reject(gaveUp(signal));
    const promise = operate(call, kind, request, payload, read);
    signal?.addEventListener("abort", () => giveUp(promise, gaveUp(signal)));
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

/** Nobody waits for a call any more: its operations have ended, and what waits for them learns it. */
export function abortCall(number: number): void {
  const reason = new OperationError("AbortError", "nobody waits for the call any more");
  abort(number, reason);
  controllers.get(number)?.abort(reason);
}

/** A call is over: nothing asks for its signal any more. */
export function forgetCall(number: number): void {
  if (controllers.size > 0) controllers.delete(number);
}

function gaveUp(signal: AbortSignal): unknown {
  return signal.reason ?? new OperationError("AbortError", "was given up");
}
