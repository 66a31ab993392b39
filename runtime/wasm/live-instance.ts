// One instance of a guest at work: the calls that run and wait in it, their operations, and what they emit. Whatever the
// guest does ends each of its calls once.
import type { FilterMeter } from "../chain/meter.ts";
import type { Operation, Operations } from "../chain/operations.ts";
import type { Message } from "../chain/whole-body.ts";
import type { FilterLimits } from "../contract/filter.ts";
import type { Schedule } from "../exchange/exchange.ts";
import { failure, type Failure, type Result } from "../exchange/failure.ts";
import { Pledge } from "../exchange/pledge.ts";
import type { HostFunctions } from "../host/host-functions.ts";
import type { Phase, Side } from "../../sdk/wit/world.ts";
import { parseAnswer, type Answer, type Start } from "./answer.ts";
import { startFuel } from "./bounded-host.ts";
import type { GuestFault, GuestHost, GuestInstance } from "./engine.ts";
import type { FuelGovernor } from "./fuel-governor.ts";

/** What a call decided. */
type Decision = Exclude<Answer, { kind: "pending" }>;

/** How a call ended, and the fuel of all of its entries. */
export type CallResult = { readonly fuel: number } & (
  | {
      readonly kind: "answered";
      readonly call: number;
      readonly answer: Decision;
      /** What goes on: of a connection, to the upstream. */
      readonly emitted: readonly Uint8Array[];
      /** Of a connection. */
      readonly toDownstream: readonly Uint8Array[];
    }
  /** The instance must not be called again. `isOwn`: it was this call that made it fault, and would again. */
  | { readonly kind: "faulted"; readonly message: string; readonly isOwn: boolean }
  /** The exchange was lost before the filter had decided. */
  | { readonly kind: "lost"; readonly cause: Failure }
);

/** A call about a connection, which lives until `end`. */
export interface ConnectionCall {
  /** `0` where there was no instance to begin it in. */
  readonly number: number;
  readonly begun: CallResult | WaitingCall;
}

/** A call that waits. */
export interface WaitingCall extends Pick<Pledge<CallResult>, "take"> {
  /** Its client left. */
  cancel(cause: Failure): void;
}

/** What an instance works with. */
export interface InstanceParts {
  readonly limits: FilterLimits;
  readonly operations: Pick<Operations, "start">;
  /** Its own: what it opened ends with it. */
  readonly functions: HostFunctions;
  readonly meter: FilterMeter;
  readonly schedule: Schedule;
  readonly governor: FuelGovernor;
  /** It faulted, and must be revived or replaced. */
  readonly onFault: (instance: LiveInstance) => void;
  /** Nothing runs or waits in it any more. */
  readonly onIdle: (instance: LiveInstance) => void;
}

/** Calls are numbers of 32 bits, `0` is none. */
const CALL_MAX = 2 ** 32 - 1;

/** What calls of one instance emitted that have not ended, together. */
const HELD_MAX_BYTES = 64 * 1024 * 1024;
const NO_PIECES: readonly Uint8Array[] = [];
const NOTHING = new Uint8Array(0);
const GONE: CallResult = { kind: "faulted", message: "its instance is gone", isOwn: false, fuel: 0 };

class Call {
  number = 0;
  message: Message | undefined = undefined;
  isConnection = false;
  emitted: Uint8Array[] = [];
  /** Of a connection: what it answers the downstream. */
  toDownstream: Uint8Array[] = [];
  emittedBytes = 0;
  /** Why what it emitted was too much. */
  overflow: string | undefined = undefined;
  started = 0;
  /** Of its entries so far. */
  fuel = 0;
  /** Set while it waits. */
  wait: Wait | undefined = undefined;
  stopDeadline: (() => void) | undefined = undefined;
}

class Wait extends Pledge<CallResult> implements WaitingCall {
  readonly cancel: WaitingCall["cancel"];

  constructor(cancel: WaitingCall["cancel"]) {
    super();
    this.cancel = cancel;
  }
}

interface Running {
  readonly call: Call;
  readonly operation: Operation;
}

export class LiveInstance {
  readonly #parts: InstanceParts;
  #guest: GuestInstance | undefined = undefined;
  #lastNumber = 0;
  #lastOperation = 0;
  /** The call that the guest is working on. */
  #current: Call | undefined = undefined;
  /** Kept for the next call where the last one did not wait. */
  #spare: Call | undefined = new Call();
  readonly #waiting = new Map<number, Call>();
  /** Calls whose bodies are on their way. */
  readonly #streams = new Map<number, Call>();
  readonly #operations = new Map<number, Running>();
  /** Answers of calls that wait, by their numbers. */
  #settled = new Map<number, string>();
  #heldBytes = 0;
  #isDead = false;
  #isStopped = false;
  /** Calls that it began. */
  calls = 0;

  constructor(parts: InstanceParts) {
    this.#parts = parts;
  }

  /** The guest's way to the proxy, by the WIT. */
  get host(): Pick<GuestHost, "start" | "stop" | "emit" | "settle" | "text" | "bytes"> {
    const { functions } = this.#parts;
    return {
      text: (name, request, payload) => functions.text(name, request, payload),
      bytes: (name, request, payload) => functions.bytes(name, request, payload),
      start: (call, kind, request, payload) => this.#start(call, kind, request, payload),
      stop: (operation) => this.#stop(operation),
      emit: (call, to, bytes) => this.#emit(call, to, bytes),
      settle: (call, answer) => {
        // The first is its answer; a guest that repeats itself must not fill the proxy's memory.
        if (this.#waiting.has(call) && !this.#settled.has(call)) this.#settled.set(call, answer);
      },
    };
  }

  /** The guest that `host` was given to. */
  attach(guest: GuestInstance): void {
    this.#guest = guest;
  }

  get isIdle(): boolean {
    return this.#waiting.size === 0 && this.#streams.size === 0 && this.#operations.size === 0;
  }

  get memoryBytes(): number {
    return this.#guest?.memoryBytes ?? 0;
  }

  get isMemoryFull(): boolean {
    return this.#guest?.isMemoryFull ?? false;
  }

  /** Begins a call; most end at once. */
  begin(phase: Phase, head: string, message: Message | undefined): CallResult | WaitingCall {
    const guest = this.#guest;
    if (guest === undefined || this.#isDead) return GONE;
    const call = this.#newCall(message);
    guest.fuelMax = this.#parts.governor.limit;
    const entered = guest.begin(call.number, phase, head);
    const result = this.#left(call, entered);
    if (result === undefined) return this.#wait(call);
    this.#recycle(call, result);
    this.#afterEntry();
    return result;
  }

  /** Begins the call of a connection. */
  connect(head: string): ConnectionCall {
    const guest = this.#guest;
    if (guest === undefined || this.#isDead) return { number: 0, begun: GONE };
    const call = this.#newCall(undefined);
    const { number } = call;
    call.isConnection = true;
    this.#streams.set(number, call);
    return { number, begun: this.#enter(call, () => guest.begin(number, "connection", head)) };
  }

  /** The next piece of a body that a call said it transforms, or of a connection. */
  chunk(number: number, source: Side, bytes: Uint8Array, isEnd: boolean): CallResult | WaitingCall {
    const guest = this.#guest;
    const call = this.#streams.get(number);
    if (guest === undefined || call === undefined || this.#isDead) return GONE;
    const result = this.#enter(call, () => guest.chunk(number, source, bytes, isEnd));
    if (isEnd && !call.isConnection) this.#streams.delete(number);
    return result;
  }

  /** The connection of a call is over, of which `head` tells. */
  endConnection(number: number, head: string): CallResult | WaitingCall {
    const guest = this.#guest;
    const call = this.#streams.get(number);
    if (guest === undefined || call === undefined || this.#isDead) return GONE;
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (waiting !== undefined) endWait(waiting, lostResult(waiting, failure("downstream_closed", "it is over")));
    const result = this.#enter(call, () => guest.begin(number, "log", head));
    this.#streams.delete(number);
    this.#afterEntry();
    return result;
  }

  /** Whether a call about a body or a connection is alive. */
  hasStream(number: number): boolean {
    return this.#streams.has(number);
  }

  /** Nobody takes the rest of a body, or of a connection. */
  cancelStream(number: number): void {
    const call = this.#streams.get(number);
    if (call === undefined) return;
    this.#streams.delete(number);
    this.#cancel(call, failure("downstream_closed", "nobody reads the body any more"));
  }

  /** Remembers the guest as it is now, so that it may be put back; false where it cannot be. */
  keep(): boolean {
    // What it opened at the host is not in its memory.
    return this.#parts.functions.isIdle && this.#guest?.keep() === true;
  }

  /** Whether `revive` may bring it back. */
  get isRevivable(): boolean {
    return this.#guest?.resetsAfterFaults === true;
  }

  /** After a fault: back to what `keep` remembered; false where a new instance has to do. */
  revive(): boolean {
    if (this.#isStopped || !this.isRevivable || this.#guest?.reset() !== true) return false;
    this.#isDead = false;
    return true;
  }

  /** After its calls: back to what `keep` remembered, so that nothing of them is there for the next; false where a new instance has to do. */
  renew(): boolean {
    if (this.#isDead || this.#isStopped || !this.isIdle) return false;
    this.#parts.functions.stop();
    return this.#guest?.reset() === true;
  }

  /** Every call that waits has failed; the guest is let go. */
  stop(reason: string): void {
    this.#die(reason);
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#guest?.stop();
  }

  #die(reason: string): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#spare = new Call();
    // A call may be given up once more when the instance has been revived.
    for (const call of [...this.#waiting.values(), ...this.#streams.values()]) call.emittedBytes = 0;
    this.#heldBytes = 0;
    this.#settled.clear();
    for (const { operation } of this.#operations.values()) operation.stop();
    this.#operations.clear();
    this.#streams.clear();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const call of waiting) endWait(call, faultedResult(call, reason, false));
    // What the instance opened; it may open more once it is revived.
    this.#parts.functions.stop();
  }

  /** Enters the guest for a call that it knows already. */
  #enter(call: Call, enter: () => Result<string, GuestFault>): CallResult | WaitingCall {
    this.#handOver(call);
    call.emitted = [];
    call.toDownstream = [];
    call.overflow = undefined;
    call.started = 0;
    call.fuel = 0;
    this.#current = call;
    if (this.#guest !== undefined) this.#guest.fuelMax = this.#parts.governor.limit;
    const result = this.#left(call, enter());
    if (result === undefined) return this.#wait(call);
    this.#afterEntry();
    return result;
  }

  #newCall(message: Message | undefined): Call {
    const call = this.#spare ?? new Call();
    this.#spare = undefined;
    this.#lastNumber = (this.#lastNumber % CALL_MAX) + 1;
    call.number = this.#lastNumber;
    call.message = message;
    call.fuel = 0;
    this.#current = call;
    this.calls++;
    return call;
  }

  /** What the guest left behind when it returned: how the call ended, `undefined` where it waits. */
  #left(call: Call, entered: Result<string, GuestFault>): CallResult | undefined {
    this.#current = undefined;
    const fuelUsed = this.#guest?.fuelUsed ?? 0;
    call.fuel += fuelUsed;
    if (!entered.ok) {
      this.#faulted(entered.error);
      return faultedResult(call, entered.error.message, true);
    }
    this.#parts.governor.spent(fuelUsed);
    const answer = parseAnswer(entered.value, this.#parts.meter);
    if (answer.kind !== "pending") return this.#answered(call, answer);
    return answer.starts === undefined ? undefined : this.#startAnswered(call, answer.starts);
  }

  /** Starts what a call answered with; the call has ended where that cannot be. */
  #startAnswered(call: Call, { operation, kind, request }: Start): CallResult | undefined {
    const fuel = startFuel(request);
    call.fuel += fuel;
    this.#parts.governor.spent(fuel);
    const started = this.#operations.has(operation)
      ? { ok: false as const, error: `operation ${operation} is under way already` }
      : this.#startFor(call, operation, kind, request, NOTHING);
    if (started.ok) return undefined;
    // As where the guest called for it: it is given up.
    this.#waiting.delete(call.number);
    this.#faulted({ kind: "trap", message: `trapped: ${started.error}` });
    return faultedResult(call, `trapped: ${started.error}`, true);
  }

  #answered(call: Call, answer: Decision): CallResult {
    const { number, emitted, toDownstream, overflow, fuel } = call;
    this.#handOver(call);
    if (overflow !== undefined) return failedResult(call, overflow);
    if (answer.kind === "proceed" && answer.isStream) this.#streams.set(number, call);
    return { kind: "answered", call: number, answer, emitted, toDownstream, fuel };
  }

  /** Keeps the call's object for the next one, where nothing of it is in use. */
  #recycle(call: Call, result: CallResult): void {
    if (result.kind !== "answered" || call.emitted.length > 0 || call.started > 0) return;
    if (this.#streams.size > 0 && this.#streams.has(call.number)) return;
    call.message = undefined;
    call.overflow = undefined;
    this.#spare = call;
  }

  #wait(call: Call): WaitingCall {
    const { limits, schedule } = this.#parts;
    const wait = new Wait((cause) => this.#cancel(call, cause));
    call.wait = wait;
    this.#waiting.set(call.number, call);
    if (this.#waiting.size > limits.pendingMax)
      this.#giveUp(call, `${limits.pendingMax} calls wait already, which is the limit`);
    else
      call.stopDeadline = schedule(
        () => this.#giveUp(call, `has not decided within ${limits.deadlineMs} ms`),
        limits.deadlineMs,
      );
    this.#afterEntry();
    return wait;
  }

  /** Ends calls that the guest settled meanwhile. */
  #afterEntry(): void {
    for (const [number, answer] of this.#settled) {
      this.#settled.delete(number);
      const decided = parseAnswer(answer, this.#parts.meter);
      if (decided.kind !== "pending") this.#settle(number, decided);
    }
    if (this.isIdle) this.#parts.onIdle(this);
  }

  #settle(number: number, answer: Decision): void {
    const call = this.#waiting.get(number);
    if (call === undefined) return;
    this.#waiting.delete(number);
    endWait(call, this.#answered(call, answer));
  }

  /** The call fails, and the guest may forget it. */
  #giveUp(call: Call, message: string): void {
    this.#end(call, failedResult(call, message));
  }

  #cancel(call: Call, cause: Failure): void {
    this.#end(call, lostResult(call, cause));
  }

  #end(call: Call, result: CallResult): void {
    if (this.#isDead) return;
    this.#waiting.delete(call.number);
    this.#streams.delete(call.number);
    this.#handOver(call);
    for (const [number, { call: owner, operation }] of this.#operations) {
      if (owner !== call) continue;
      this.#operations.delete(number);
      operation.stop();
    }
    // The guest may be what is running: it is told when it has returned.
    queueMicrotask(() => {
      if (this.#isDead) return;
      const cancelled = this.#guest?.cancel(call.number);
      if (cancelled?.ok === false) this.#faulted(cancelled.error);
      else this.#afterEntry();
    });
    endWait(call, result);
  }

  #faulted({ kind, message }: GuestFault): void {
    if (this.#isDead) return;
    if (kind === "out_of_fuel") this.#parts.governor.ranOut();
    this.#die(`its instance was given up, since another call ${message}`);
    this.#parts.onFault(this);
  }

  #start(number: number, kind: string, request: string, payload: Uint8Array): Result<number, string> {
    const call = this.#find(number);
    if (call === undefined) return { ok: false, error: `call ${number} is over and starts nothing` };
    const operation = this.#lastOperation + 1;
    const started = this.#startFor(call, operation, kind, request, payload);
    if (started.ok) this.#lastOperation = operation;
    return started;
  }

  #startFor(call: Call, operation: number, kind: string, request: string, payload: Uint8Array): Result<number, string> {
    const { operationsMax } = this.#parts.limits;
    if (call.started >= operationsMax) return { ok: false, error: `started more than ${operationsMax} operations` };
    // The guest's memory is its own again when this returns.
    const bytes = payload.length === 0 ? NOTHING : payload.slice();
    const started = this.#parts.operations.start(kind, request, bytes, {
      message: call.message,
      bodyFailed: (cause) => this.#cancel(call, cause),
      ended: (outcome, brought) => this.#resume(operation, outcome, brought),
    });
    if (!started.ok) return started;
    call.started++;
    this.#operations.set(operation, { call, operation: started.value });
    return { ok: true, value: operation };
  }

  #resume(operation: number, outcome: string, payload: Uint8Array): void {
    const running = this.#operations.get(operation);
    const guest = this.#guest;
    if (running === undefined || guest === undefined || this.#isDead) return;
    this.#operations.delete(operation);
    const { call } = running;
    this.#current = call;
    guest.fuelMax = this.#parts.governor.limit;
    const resumed = guest.resume(call.number, operation, outcome, payload);
    this.#current = undefined;
    call.fuel += guest.fuelUsed;
    if (!resumed.ok) {
      if (this.#waiting.delete(call.number)) endWait(call, faultedResult(call, resumed.error.message, true));
      this.#faulted(resumed.error);
      return;
    }
    this.#parts.governor.spent(guest.fuelUsed);
    const answer = parseAnswer(resumed.value, this.#parts.meter);
    if (answer.kind !== "pending") this.#settle(call.number, answer);
    else if (answer.starts !== undefined) {
      const ended = this.#startAnswered(call, answer.starts);
      if (ended !== undefined) {
        endWait(call, ended);
        return;
      }
    }
    this.#afterEntry();
  }

  #stop(operation: number): void {
    const running = this.#operations.get(operation);
    this.#operations.delete(operation);
    running?.operation.stop();
  }

  #emit(number: number, to: Side, bytes: Uint8Array): void {
    const call = this.#find(number);
    if (call === undefined || call.overflow !== undefined) return;
    call.emittedBytes += bytes.length;
    this.#heldBytes += bytes.length;
    const { bodyMaxBytes } = this.#parts.limits;
    if (call.emittedBytes > bodyMaxBytes) call.overflow = `emitted more than ${bodyMaxBytes} bytes`;
    else if (this.#heldBytes > HELD_MAX_BYTES)
      call.overflow = `emitted while calls that wait hold ${HELD_MAX_BYTES} bytes together, which is the limit`;
    if (call.overflow !== undefined) {
      this.#handOver(call);
      call.emitted = [];
      call.toDownstream = [];
    } else (call.isConnection && to === "downstream" ? call.toDownstream : call.emitted).push(new Uint8Array(bytes));
  }

  /** What a call emitted is not held for it any more. */
  #handOver(call: Call): void {
    this.#heldBytes -= call.emittedBytes;
    call.emittedBytes = 0;
  }

  #find(number: number): Call | undefined {
    if (this.#current?.number === number) return this.#current;
    return this.#waiting.get(number) ?? this.#streams.get(number);
  }
}

function endWait(call: Call, result: CallResult): void {
  call.stopDeadline?.();
  call.stopDeadline = undefined;
  const { wait } = call;
  call.wait = undefined;
  wait?.settle(result);
}

function failedResult({ number, fuel }: Call, message: string): CallResult {
  const answer = { kind: "failed", message } as const;
  return { kind: "answered", call: number, answer, emitted: NO_PIECES, toDownstream: NO_PIECES, fuel };
}

function faultedResult({ fuel }: Call, message: string, isOwn: boolean): CallResult {
  return { kind: "faulted", message, isOwn, fuel };
}

function lostResult({ fuel }: Call, cause: Failure): CallResult {
  return { kind: "lost", cause, fuel };
}
