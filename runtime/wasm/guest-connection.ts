// A sandboxed filter's handlers at one connection: its call stays in the instance that it began in.
import type { ConnectionCalls, ConnectionDecided } from "../chain/connection.ts";
import { promiseOf } from "../exchange/pledge.ts";
import type { Side } from "../../sdk/wit/world.ts";
import type { Acquired, Instances } from "./instance.ts";
import type { CallResult, LiveInstance, WaitingCall } from "./live-instance.ts";

export class GuestConnection implements ConnectionCalls {
  readonly #instances: Instances;
  #instance: LiveInstance | undefined = undefined;
  #number = 0;
  #isOver = false;
  fuelUsed = 0;

  constructor(instances: Instances) {
    this.#instances = instances;
  }

  open(head: string): ConnectionDecided | Promise<ConnectionDecided> {
    const acquired = this.#instances.acquire();
    // There may be no instance yet: one is being set up.
    return acquired instanceof Promise ? acquired.then((ready) => this.#open(ready, head)) : this.#open(acquired, head);
  }

  chunk(source: Side, bytes: Uint8Array, isEnd: boolean): ConnectionDecided | Promise<ConnectionDecided> {
    const instance = this.#instance;
    if (instance === undefined) return { kind: "failed", message: "there is no instance" };
    return this.#decided(instance, instance.chunk(this.#number, source, bytes, isEnd));
  }

  end(head: string | undefined): ConnectionDecided | Promise<ConnectionDecided> | undefined {
    this.#isOver = true;
    const instance = this.#instance;
    if (instance === undefined) return undefined;
    if (head !== undefined && instance.hasStream(this.#number))
      return this.#decided(instance, instance.endConnection(this.#number, head));
    instance.cancelStream(this.#number);
    return undefined;
  }

  #open(acquired: Acquired, head: string): ConnectionDecided | Promise<ConnectionDecided> {
    if (!acquired.ok) return { kind: "failed", message: acquired.error };
    if (this.#isOver) return { kind: "failed", message: "the connection is over" };
    const instance = acquired.value;
    const { number, begun } = instance.connect(head);
    this.#instance = instance;
    this.#number = number;
    return this.#decided(instance, begun);
  }

  #decided(instance: LiveInstance, result: CallResult | WaitingCall): ConnectionDecided | Promise<ConnectionDecided> {
    if (!("kind" in result)) return promiseOf(result).then((late) => this.#read(instance, late));
    return this.#read(instance, result);
  }

  #read(instance: LiveInstance, result: CallResult): ConnectionDecided {
    this.fuelUsed = result.fuel;
    switch (result.kind) {
      case "faulted":
        return { kind: "failed", message: result.message };
      case "lost":
        return { kind: "failed", message: result.cause.message };
      case "answered":
        return this.#readAnswer(instance, result);
    }
  }

  #readAnswer(instance: LiveInstance, result: Extract<CallResult, { kind: "answered" }>): ConnectionDecided {
    const { answer, emitted: upstream, toDownstream: downstream } = result;
    const written = { upstream, downstream };
    switch (answer.kind) {
      case "pass":
      case "proceed": {
        this.#instances.succeeded(instance);
        const { edits, route, watched } = answer;
        const bytes = answer.kind === "pass" ? "pass" : "drop";
        return { kind: "decided", bytes, written, edits, route, ending: undefined, watched };
      }
      case "more":
        return { kind: "decided", bytes: "more", written, edits: [], route: undefined, ending: undefined, watched: [] };
      case "close": {
        this.#instances.succeeded(instance);
        const ending = { kind: answer.isReset ? "reset" : "close", reason: answer.reason } as const;
        return { kind: "decided", bytes: "drop", written, edits: answer.edits, route: undefined, ending, watched: [] };
      }
      case "reply":
        return { kind: "failed", message: "answered a connection with a reply" };
      case "failed":
        // The guest caught its own error, so its instance is whole; but one without memory left would fail from now on.
        if (instance.isMemoryFull) {
          this.#instances.drop(instance);
          instance.stop("its memory was full");
        }
        return answer;
    }
  }
}
