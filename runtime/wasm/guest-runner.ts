// Calls the handlers of a sandboxed filter, or adapter: heads go in, answers come out, and whatever the guest does ends in a decision.
import type { AdapterCalls, AdapterReply, WaitingReply } from "../chain/adapter-calls.ts";
import { startTimers } from "../chain/timers.ts";
import type { Decided, HandlerCall, HandlerRunner, WaitingDecision } from "../chain/phased-filter.ts";
import type { ConnectionCalls } from "../chain/connection.ts";
import { lostPiece, type ChunkHandler, type Passed } from "../chain/transformed-body.ts";
import type { AdapterPhase } from "../contract/adapter.ts";
import type { Manifest } from "../contract/bundle.ts";
import type { Schedule } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import { Pledge, promiseOf } from "../exchange/pledge.ts";
import type { Side } from "../../sdk/wit/world.ts";
import { askGuest } from "./guest-adapter.ts";
import { GuestConnection } from "./guest-connection.ts";
import type { Acquired, Instances } from "./instance.ts";
import type { CallResult, LiveInstance } from "./live-instance.ts";

/** Tells why a timer's call failed. */
export type TellFailure = (phase: "timer", message: string) => void;

export class GuestRunner implements HandlerRunner, AdapterCalls {
  readonly needsHead = true;
  fuelUsed = 0;
  readonly #instances: Instances;
  readonly #stopTimers: () => void;

  constructor(instances: Instances, timers: Manifest["timers"], schedule: Schedule, tell: TellFailure) {
    this.#instances = instances;
    this.#stopTimers = startTimers(timers, (name) => this.#runTimer(name, tell), schedule);
  }

  run(call: HandlerCall): Decided | WaitingDecision {
    this.fuelUsed = 0;
    const acquired = this.#instances.acquire();
    return acquired instanceof Promise ? this.#runLater(acquired, call) : this.#runIn(acquired, call);
  }

  ask(phase: AdapterPhase, lines: string): AdapterReply | WaitingReply {
    return askGuest(this.#instances, phase, lines);
  }

  connect(): ConnectionCalls {
    return new GuestConnection(this.#instances);
  }

  stop(): void {
    this.#stopTimers();
    this.#instances.stop();
  }

  #runIn(acquired: Acquired, { phase, head, message }: HandlerCall): Decided | WaitingDecision {
    if (!acquired.ok) return { kind: "failed", message: acquired.error };
    const instance = acquired.value;
    const begun = instance.begin(phase, head, message);
    if (!("kind" in begun)) {
      return {
        take: (taker) => begun.take((result) => taker(this.#decided(result, instance, phase))),
        cancel: (cause) => begun.cancel(cause),
      };
    }
    this.fuelUsed = begun.fuel;
    return this.#decided(begun, instance, phase);
  }

  /** There is no instance yet: one is being set up. */
  #runLater(acquired: Promise<Acquired>, call: HandlerCall): WaitingDecision {
    let cause: Failure | undefined;
    let begun: WaitingDecision | undefined;
    const pledge = new Pledge<Decided>();
    void acquired.then((ready) => {
      if (cause !== undefined) return pledge.settle({ kind: "lost", cause });
      const decided = this.#runIn(ready, call);
      if ("kind" in decided) return pledge.settle(decided);
      begun = decided;
      return decided.take((late) => pledge.settle(late));
    });
    return {
      take: (taker) => pledge.take(taker),
      cancel: (why) => {
        cause = why;
        begun?.cancel(why);
      },
    };
  }

  #decided(result: CallResult, instance: LiveInstance, phase: HandlerCall["phase"]): Decided {
    switch (result.kind) {
      case "faulted":
        return { kind: "failed", message: result.message, fuel: result.fuel };
      case "lost":
        return { kind: "lost", cause: result.cause, fuel: result.fuel };
      case "answered":
        return this.#readAnswer(result, instance, phase);
    }
  }

  #readAnswer(
    { answer, emitted, call, fuel }: Extract<CallResult, { kind: "answered" }>,
    instance: LiveInstance,
    phase: HandlerCall["phase"],
  ): Decided {
    switch (answer.kind) {
      case "proceed":
        this.#instances.succeeded(instance);
        return {
          kind: "proceed",
          changes: {
            edits: answer.edits,
            replacement: answer.hasBody ? joined(emitted) : undefined,
            transform: answer.isStream ? chunksOf(instance, call, phase) : undefined,
          },
          cacheMs: answer.cacheMs,
          fuel,
        };
      case "reply": {
        this.#instances.succeeded(instance);
        const { status, headers, hasBody, cacheMs } = answer;
        return {
          kind: "reply",
          parts: { status, headers, body: hasBody ? joined(emitted) : answer.body },
          cacheMs,
          fuel,
        };
      }
      case "pass":
      case "more":
      case "close":
        return { kind: "failed", message: `answered a head with ${answer.kind}`, fuel };
      case "failed":
        // The guest caught its own error, so its instance is whole; but one without memory left would fail from now on.
        if (instance.isMemoryFull) this.#instances.replace(instance);
        return { kind: "failed", message: answer.message, fuel };
    }
  }

  async #runTimer(name: string, tell: TellFailure): Promise<void> {
    const acquired = await this.#instances.acquire();
    if (!acquired.ok) return tell("timer", acquired.error);
    const begun = acquired.value.begin("timer", name, undefined);
    const result = "kind" in begun ? begun : await promiseOf(begun);
    if (result.kind === "faulted") tell("timer", result.message);
    else if (result.kind === "answered" && result.answer.kind === "failed") tell("timer", result.answer.message);
    return undefined;
  }
}

/** The pieces of a body, led through the call that asked for them. */
function chunksOf(instance: LiveInstance, call: number, phase: HandlerCall["phase"]): ChunkHandler {
  const source: Side = phase === "request" ? "downstream" : "upstream";
  return {
    take: (bytes, isEnd) => {
      const result = instance.chunk(call, source, bytes, isEnd);
      return "kind" in result ? passedOf(result) : promiseOf(result).then(passedOf);
    },
    cancel: () => instance.cancelStream(call),
  };
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  return only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces);
}

function passedOf(result: CallResult): Passed {
  switch (result.kind) {
    case "answered":
      if (result.answer.kind === "pass") return { kind: "pass" };
      if (result.answer.kind === "proceed") return { kind: "instead", pieces: result.emitted };
      return lostPiece(
        result.answer.kind === "failed" ? result.answer.message : `answered a piece with ${result.answer.kind}`,
      );
    case "faulted":
      return lostPiece(result.message);
    case "lost":
      return { kind: "failed", failure: result.cause };
  }
}
