// Calls the handlers of a sandboxed adapter.
import { ANY_USES, type AdapterReply, type WaitingReply } from "../chain/adapter-calls.ts";
import type { AdapterPhase } from "../contract/adapter.ts";
import type { Failure } from "../exchange/failure.ts";
import { promiseOf } from "../exchange/pledge.ts";
import type { Acquired, Instances } from "./instance.ts";
import type { CallResult, LiveInstance } from "./live-instance.ts";

/** One call in an instance of these. */
export function askGuest(instances: Instances, phase: AdapterPhase, lines: string): AdapterReply | WaitingReply {
  const acquired = instances.acquire();
  return acquired instanceof Promise
    ? askLater(instances, acquired, phase, lines)
    : askIn(instances, acquired, phase, lines);
}

function askIn(
  instances: Instances,
  acquired: Acquired,
  phase: AdapterPhase,
  lines: string,
): AdapterReply | WaitingReply {
  // It is held back after faults, and may be there the next time.
  if (!acquired.ok) return { kind: "failed", message: acquired.error, isFault: false, fuel: 0 };
  const instance = acquired.value;
  const begun = instance.begin(phase, lines, undefined);
  if ("kind" in begun) return replyOf(instances, instance, begun);
  return {
    done: promiseOf(begun).then((result) => replyOf(instances, instance, result)),
    cancel: (cause) => begun.cancel(cause),
  };
}

/** There is no instance yet: one is being set up. */
function askLater(instances: Instances, acquired: Promise<Acquired>, phase: AdapterPhase, lines: string): WaitingReply {
  let cause: Failure | undefined;
  let begun: WaitingReply | undefined;
  const done = acquired.then((ready): AdapterReply | Promise<AdapterReply> => {
    if (cause !== undefined) return { kind: "lost", fuel: 0 };
    const asked = askIn(instances, ready, phase, lines);
    if ("kind" in asked) return asked;
    begun = asked;
    return asked.done;
  });
  return {
    done,
    cancel: (why) => {
      cause = why;
      begun?.cancel(why);
    },
  };
}

function replyOf(instances: Instances, instance: LiveInstance, result: CallResult): AdapterReply {
  const { fuel } = result;
  if (result.kind === "faulted") return { kind: "failed", message: result.message, isFault: result.isOwn, fuel };
  if (result.kind === "lost") return { kind: "lost", fuel };
  const { answer } = result;
  switch (answer.kind) {
    case "proceed": {
      if (answer.edits.length > 0 || answer.hasBody || answer.isStream) return strange("edits a message", fuel);
      instances.succeeded(instance);
      const { granted, cacheMs: validForMs, uses: validUses = ANY_USES } = answer;
      return { kind: "proceed", granted, validForMs, validUses, fuel };
    }
    case "reply": {
      if (answer.hasBody) return strange("refuses with bytes", fuel);
      instances.succeeded(instance);
      const { status, headers, body, cacheMs: validForMs, uses: validUses = ANY_USES } = answer;
      return { kind: "reply", parts: { status, headers, body }, validForMs, validUses, fuel };
    }
    case "failed":
      // The guest caught its own error, so its instance is whole; but one without memory left would fail from now on.
      if (instance.isMemoryFull) instances.replace(instance);
      return { kind: "failed", message: answer.message, isFault: false, fuel };
    case "pass":
    case "more":
    case "close":
      return strange(`answers with ${answer.kind}`, fuel);
  }
}

function strange(what: string, fuel: number): AdapterReply {
  return { kind: "failed", message: `${what}, which is not an answer to a rule`, isFault: false, fuel };
}
