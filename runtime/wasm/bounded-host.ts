// What an instance may use of the proxy, with its price: every engine charges the same for the same call, and what a
// guest says is cut to the same length, so that a filter costs and shows alike wherever it runs.
import type { LogLevel, Side } from "../../sdk/wit/world.ts";
import type { HostAnswer } from "../host/answer.ts";
import { ANSWER_MAX_BYTES } from "./direct-entry.ts";
import type { HostCalls } from "./direct-host.ts";
import type { GuestHost } from "./engine.ts";

const LOG_LINES_MAX = 16;
const LOG_CHARACTERS_MAX = 4096;
/** What a host call costs besides its own work, so that a loop of them is as bounded as any other. */
export const HOST_CALL_FUEL = 1000;
/** Characters or bytes that cross for one unit of fuel, as a power of two. */
const CROSSING_FUEL_SHIFT = 4;

/** More than any limit: what is spent at once stays an integer of 32 bits. */
const FUEL_MAX = 1_000_000_001;
/** A unit is some 6 ns. */
const FUEL_PER_MS = 166_667;
/**
 * What host functions may take beyond their prices in one call. A price is what such work takes; an input that is made to
 * take longer is paid for by the clock. Until then it is not, or a machine that is busy would charge guests for waiting.
 */
const LATE_MAX_MS = 20;

/** A host for one instance; `spend` takes units of fuel from the call under way. */
export class BoundedHost implements HostCalls {
  readonly #host: GuestHost;
  readonly #spend: (units: number) => void;
  readonly stop: GuestHost["stop"];
  readonly clock: GuestHost["clock"];
  #logLines = 0;
  #lateMs = 0;

  constructor(host: GuestHost, spend: (units: number) => void) {
    this.#host = host;
    this.#spend = spend;
    this.stop = host.stop;
    this.clock = host.clock;
  }

  /** A call of the guest begins: what it may log, and what its host calls may take, starts anew. */
  beginCall(): void {
    this.#logLines = 0;
    this.#lateMs = 0;
  }

  /** Bounded: a line costs what copying it out of the guest costs, and after some they are dropped. */
  log(level: LogLevel, message: string, fields = ""): void {
    this.#spend((message.length + fields.length) >>> CROSSING_FUEL_SHIFT);
    if (++this.#logLines > LOG_LINES_MAX) return;
    this.#host.log(level, message.slice(0, LOG_CHARACTERS_MAX), fields.length > LOG_CHARACTERS_MAX ? "" : fields);
  }

  /** The operation's number. Throws where the guest must trap. */
  start(call: number, kind: string, request: string, payload: Uint8Array): number {
    this.#spend((request.length + payload.length) >>> CROSSING_FUEL_SHIFT);
    const started = this.#host.start(call, kind, request, payload);
    if (started.ok) return started.value;
    throw new Error(started.error);
  }

  emit(call: number, to: Side, bytes: Uint8Array): void {
    this.#spend(bytes.length >>> CROSSING_FUEL_SHIFT);
    this.#host.emit(call, to, bytes);
  }

  /** Throws where the guest must trap. */
  settle(call: number, answer: string): void {
    this.#spend(answer.length >>> CROSSING_FUEL_SHIFT);
    if (answer.length > ANSWER_MAX_BYTES)
      throw new Error(`settles with ${answer.length} characters, limit is ${ANSWER_MAX_BYTES}`);
    this.#host.settle(call, answer);
  }

  text(name: string, request: string, payload: Uint8Array): HostAnswer<string> {
    this.#spend((request.length + payload.length) >>> CROSSING_FUEL_SHIFT);
    const startedMs = this.clock.monotonic();
    return this.#charged(this.#host.text(name, request, payload), startedMs);
  }

  bytes(name: string, request: string, payload: Uint8Array): HostAnswer<Uint8Array> {
    this.#spend((request.length + payload.length) >>> CROSSING_FUEL_SHIFT);
    const startedMs = this.clock.monotonic();
    return this.#charged(this.#host.bytes(name, request, payload), startedMs);
  }

  #charged<Value extends string | Uint8Array>(answer: HostAnswer<Value>, startedMs: number): HostAnswer<Value> {
    const { result, fuel } = answer;
    const answered = result.ok ? result.value : result.error;
    const tookMs = this.clock.monotonic() - startedMs;
    this.#lateMs = Math.max(0, this.#lateMs + tookMs - fuel / FUEL_PER_MS);
    const lateMs = Math.max(0, this.#lateMs - LATE_MAX_MS);
    this.#lateMs -= lateMs;
    const units = fuel + Math.ceil(lateMs * FUEL_PER_MS) + (answered.length >>> CROSSING_FUEL_SHIFT);
    this.#spend(Math.min(units, FUEL_MAX));
    return answer;
  }
}

/** What an operation costs that an answer starts: as much as by a call. */
export function startFuel(request: string): number {
  return HOST_CALL_FUEL + (request.length >>> CROSSING_FUEL_SHIFT);
}
