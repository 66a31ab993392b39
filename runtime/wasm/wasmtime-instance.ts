// One guest in a store of Wasmtime's. What is native here is deleted when the instance is stopped, never while it runs.
import type { Pointer } from "bun:ffi";
import { PHASES, SIDES, type Phase, type Side } from "../../sdk/wit/world.ts";
import type { FilterLimits } from "../contract/filter.ts";
import type { Result } from "../exchange/failure.ts";
import { BoundedHost } from "./bounded-host.ts";
import type { GuestFault, GuestHost, GuestInstance } from "./engine.ts";
import type { LinearMemory } from "./linear-memories.ts";
import { address, OUT, type NativeMemory } from "./native-memory.ts";
import { HANDLER_FUNCTIONS, type WasmtimeCode } from "./wasmtime-code.ts";
import type { WasmtimeParts } from "./wasmtime-engine.ts";
import type { RunningGuest } from "./wasmtime-host.ts";
import { required, takeMessage } from "./wasmtime-library.ts";
import { ANSWER, ARGUMENTS, type Values } from "./wasmtime-values.ts";

/**
 * Wasmtime counts instructions, our metering loop turns and function entries: QuickJS runs some forty of the one for each
 * of the other (measured: 74,000 and 1,790 for one call, 1,453,000 and 31,300 for another), so limits mean the same on both engines.
 */
const INSTRUCTIONS_PER_FUEL = 40;
/** Start functions of a fresh instance, in our units. */
const START_FUEL = 100_000_000;
/** Core instances, tables and memories of one guest; ours has four, two and one. */
const INSTANCES_MAX = 64;
const TABLES_MAX = 64;
const MEMORIES_MAX = 2;
const TABLE_ELEMENTS_MAX = 100_000;
const PAGE_BYTES = 65_536;
/** Where no bytes lie. */
const NOWHERE = 1;
/** `wasmtime_component_func_t`, and `wasmtime_component_instance_t`, in words of eight bytes. */
const FUNCTION_WORDS = 4;
const INSTANCE_WORDS = 3;

const CONFIGURE = HANDLER_FUNCTIONS.indexOf("configure");
const BEGIN = HANDLER_FUNCTIONS.indexOf("begin");
const RESUME = HANDLER_FUNCTIONS.indexOf("resume");
const CHUNK = HANDLER_FUNCTIONS.indexOf("chunk");
const CANCEL = HANDLER_FUNCTIONS.indexOf("cancel");

/** Starts a guest; its memories come first, so that a start that fails gives them back. */
export function startInstance(
  parts: WasmtimeParts,
  code: WasmtimeCode,
  limits: FilterLimits,
  host: GuestHost,
): Result<GuestInstance, GuestFault> {
  const { wasmtime, engine, memories } = parts;
  const { api } = wasmtime;
  const store = required(api.wasmtime_store_new(engine, null, null));
  const context = required(api.wasmtime_store_context(store));
  const memoryMaxBytes = Math.ceil(limits.memoryMaxBytes / PAGE_BYTES) * PAGE_BYTES;
  api.wasmtime_store_limiter(store, memoryMaxBytes, TABLE_ELEMENTS_MAX, INSTANCES_MAX, TABLES_MAX, MEMORIES_MAX);
  const instance = new WasmtimeInstance(parts, { code, store, context, limits }, host);
  memories.takeMade();
  const fault = instance.link();
  if (fault === undefined) return { ok: true, value: instance };
  instance.stop();
  return { ok: false, error: fault };
}

/** The native side of an instance. */
interface Handles {
  readonly code: WasmtimeCode;
  readonly store: Pointer;
  readonly context: Pointer;
  readonly limits: FilterLimits;
}

class WasmtimeInstance implements GuestInstance {
  readonly #parts: WasmtimeParts;
  readonly #handles: Handles;
  readonly #host: BoundedHost;
  readonly #guest: RunningGuest;
  readonly #functions: readonly BigUint64Array[];
  /** Makes room for bytes; `undefined` where they cross as lists. */
  #reallocate: BigUint64Array | undefined = undefined;
  /** What keeps its globals and puts them back. */
  #states: readonly BigUint64Array[] = [];
  /** What its memories held when they were kept. */
  #kept: readonly Uint8Array[] | undefined = undefined;
  #memories: readonly LinearMemory[] = [];
  #isRunning = false;
  #isStopped = false;
  fuelUsed = 0;
  fuelMax: number;
  /** A component that has trapped is not entered again. */
  readonly resetsAfterFaults = false;

  constructor(parts: WasmtimeParts, handles: Handles, host: GuestHost) {
    this.fuelMax = handles.limits.fuel;
    this.#parts = parts;
    this.#handles = handles;
    const spend = (units: number): void => this.#spend(units);
    this.#host = new BoundedHost(host, spend);
    const memory = (): LinearMemory | undefined => this.#mainMemory;
    this.#guest = {
      host: this.#host,
      spend,
      get memory() {
        return memory();
      },
    };
    this.#functions = HANDLER_FUNCTIONS.map(() => new BigUint64Array(FUNCTION_WORDS));
    abandoned.register(this, { api: parts.wasmtime.api, store: handles.store }, this);
  }

  /** Instantiates; what speaks against it. */
  link(): GuestFault | undefined {
    const { wasmtime, memories, host } = this.#parts;
    const { api } = wasmtime;
    const { code, context } = this.#handles;
    const instance = new BigUint64Array(INSTANCE_WORDS);
    this.#fill(START_FUEL);
    this.#isRunning = true;
    const before = host.enter(this.#guest);
    const failed = api.wasmtime_component_linker_instantiate(code.linker, context, code.component, instance);
    host.leave(before);
    this.#isRunning = false;
    this.#memories = memories.takeMade();
    if (failed !== null) return this.#faultOf(failed);
    for (const [index, exported] of code.exports.entries()) {
      const found = this.#functions[index] ?? new BigUint64Array(FUNCTION_WORDS);
      if (!api.wasmtime_component_instance_get_func(instance, context, exported, found))
        return { kind: "trap", message: `does not export a function ${HANDLER_FUNCTIONS[index]}` };
    }
    const functionOf = (index: Pointer): BigUint64Array => {
      const found = new BigUint64Array(FUNCTION_WORDS);
      api.wasmtime_component_instance_get_func(instance, context, index, found);
      return found;
    };
    if (code.reallocate !== undefined) this.#reallocate = functionOf(code.reallocate);
    this.#states = code.states.map(functionOf);
    return undefined;
  }

  /** Where its code works: the largest, since a component may bring one for something small. */
  get #mainMemory(): LinearMemory | undefined {
    let [main] = this.#memories;
    for (const memory of this.#memories) if (memory.sizeBytes > (main?.sizeBytes ?? 0)) main = memory;
    return main;
  }

  get memoryBytes(): number {
    return this.#memories.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  get isMemoryFull(): boolean {
    return this.#memories.some(({ sizeBytes }) => sizeBytes >= this.#handles.limits.memoryMaxBytes);
  }

  configure(config: string): ReturnType<GuestInstance["configure"]> {
    const { values, wasmtime } = this.#parts;
    wasmtime.memory.clearTexts();
    values.argumentText(0, config);
    return this.#call(this.#functions[CONFIGURE], 1, takeProblems);
  }

  begin(call: number, phase: Phase, head: string): Result<string, GuestFault> {
    const { values, wasmtime } = this.#parts;
    wasmtime.memory.clearTexts();
    values.argumentWord(0, call);
    values.argumentName(1, this.#nameOf(phase));
    values.argumentText(2, head);
    return this.#call(this.#functions[BEGIN], 3, takeAnswer);
  }

  resume(call: number, operation: number, outcome: string, payload: Uint8Array): Result<string, GuestFault> {
    const { values } = this.#parts;
    return this.#callWith(payload, RESUME, 4, (place) => {
      values.argumentWord(0, call);
      values.argumentWord(1, operation);
      values.argumentText(2, outcome);
      this.#argumentBytes(3, payload, place);
    });
  }

  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): Result<string, GuestFault> {
    const { values } = this.#parts;
    return this.#callWith(bytes, CHUNK, 4, (place) => {
      values.argumentWord(0, call);
      values.argumentName(1, this.#nameOf(source));
      this.#argumentBytes(2, bytes, place);
      values.argumentBool(3, isEnd);
    });
  }

  cancel(call: number): Result<undefined, GuestFault> {
    this.#parts.values.argumentWord(0, call);
    return this.#call(this.#functions[CANCEL], 1, NO_ANSWER);
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    if (!this.#isRunning) this.#delete();
  }

  keep(): boolean {
    if (this.#states.length === 0 || !this.#moveGlobals(false)) return false;
    this.#kept = this.#memories.map(({ base, sizeBytes }) => {
      const bytes = new Uint8Array(sizeBytes);
      this.#parts.wasmtime.memory.copyOut(address(base), bytes);
      return bytes;
    });
    return true;
  }

  reset(): boolean {
    const kept = this.#kept;
    if (kept === undefined || this.#memories.some(({ sizeBytes }, index) => sizeBytes !== kept[index]?.length))
      return false;
    for (const [index, { base }] of this.#memories.entries())
      this.#parts.wasmtime.memory.copyIn(base, kept[index] ?? NO_BYTES);
    return this.#moveGlobals(true);
  }

  #moveGlobals(isBack: boolean): boolean {
    const { values } = this.#parts;
    return this.#states.every((state) => {
      values.argumentWord(0, isBack ? 1 : 0);
      return this.#call(state, 1, NO_ANSWER).ok;
    });
  }

  /** Calls a function of the guest that takes bytes, for which it makes room first. */
  #callWith(bytes: Uint8Array, index: number, count: number, place: (at: number) => void): Result<string, GuestFault> {
    const { wasmtime } = this.#parts;
    wasmtime.memory.clearTexts();
    const made = this.#makeRoom(bytes);
    if (!made.ok) return made;
    const spent = made.value === NOWHERE ? 0 : this.fuelUsed;
    place(made.value);
    const called = this.#call(this.#functions[index], count, takeAnswer, spent);
    this.fuelUsed += spent;
    return called;
  }

  /** Copies bytes to where the guest makes room for them; it frees what it is handed. */
  #makeRoom(bytes: Uint8Array): Result<number, GuestFault> {
    if (this.#reallocate === undefined || bytes.length === 0) return { ok: true, value: NOWHERE };
    const { values, wasmtime } = this.#parts;
    for (const [index, word] of [0, 0, 1, bytes.length].entries()) values.argumentWord(index, word);
    const made = this.#call(this.#reallocate, 4, takeWord);
    if (!made.ok) return made;
    const memory = this.#mainMemory;
    if (memory === undefined || made.value + bytes.length > memory.sizeBytes)
      return { ok: false, error: { kind: "trap", message: "allocated beyond its memory" } };
    wasmtime.memory.copyIn(memory.base + made.value, bytes);
    return made;
  }

  #argumentBytes(index: number, bytes: Uint8Array, place: number): void {
    const { values } = this.#parts;
    if (this.#reallocate === undefined) values.argumentBytes(index, bytes);
    else values.argumentPlace(index, place, bytes.length);
  }

  /** Calls a function of the guest with the arguments that were placed, and takes its answer. `spent` fuel is gone already. */
  #call<T>(callee: BigUint64Array | undefined, count: number, take: Take<T>, spent = 0): Result<T, GuestFault> {
    if (this.#isStopped || this.#isRunning) return { ok: false, error: { kind: "trap", message: "was stopped" } };
    const { wasmtime, host } = this.#parts;
    const { api, memory } = wasmtime;
    const { context } = this.#handles;
    const called = callee ?? null;
    if (spent === 0) this.#host.beginCall();
    this.#fill(this.fuelMax - spent);
    this.#isRunning = true;
    const answers = take === NO_ANSWER ? 0 : 1;
    const before = host.enter(this.#guest);
    // Nothing is thrown out of it: what host functions throw is a trap of the guest's.
    const failed = api.wasmtime_component_func_call(
      called,
      context,
      memory.at(ARGUMENTS),
      count,
      memory.at(ANSWER),
      answers,
    );
    host.leave(before);
    this.#isRunning = false;
    try {
      this.fuelUsed = this.fuelMax - spent - Math.max(0, Math.floor(this.#instructionsLeft() / INSTRUCTIONS_PER_FUEL));
      if (failed !== null) return { ok: false, error: this.#faultOf(failed) };
      return { ok: true, value: take(this.#parts.values) };
    } catch (error) {
      // An answer of another type.
      return { ok: false, error: { kind: "trap", message: String(error) } };
    } finally {
      if (this.#isStopped) this.#delete();
    }
  }

  #fill(units: number): void {
    const failed = this.#parts.wasmtime.api.wasmtime_context_set_fuel(
      this.#handles.context,
      units * INSTRUCTIONS_PER_FUEL,
    );
    if (failed !== null) throw new Error(takeMessage(this.#parts.wasmtime, failed));
  }

  /** Takes fuel; where none is left, the guest traps as soon as it goes on. */
  #spend(units: number): void {
    const left = this.#instructionsLeft() - units * INSTRUCTIONS_PER_FUEL;
    this.#parts.wasmtime.api.wasmtime_context_set_fuel(this.#handles.context, Math.max(0, left));
  }

  #instructionsLeft(): number {
    const { api, memory } = this.#parts.wasmtime;
    api.wasmtime_context_get_fuel(this.#handles.context, memory.at(OUT));
    const word = OUT >>> 2;
    return (memory.words[word] ?? 0) + (memory.words[word + 1] ?? 0) * 2 ** 32;
  }

  #faultOf(error: Pointer | bigint): GuestFault {
    const message = takeMessage(this.#parts.wasmtime, error);
    if (message.includes("all fuel consumed")) return { kind: "out_of_fuel", message: "ran out of fuel" };
    if (message.includes("call stack exhausted")) return { kind: "stack_overflow", message: "ran out of stack" };
    const pages = /memory minimum size of (\d+) pages/u.exec(message)?.[1];
    if (pages !== undefined) {
      const { memoryMaxBytes } = this.#handles.limits;
      return {
        kind: "trap",
        message: `needs ${Number(pages) * PAGE_BYTES} bytes of memory, limit is ${memoryMaxBytes}`,
      };
    }
    if (message.includes("memory count too high"))
      return { kind: "trap", message: `has more than ${MEMORIES_MAX} memories` };
    if (message.includes("instance count too high"))
      return { kind: "trap", message: `links more than ${INSTANCES_MAX} modules` };
    return { kind: "trap", message: `trapped: ${causeOf(message)}` };
  }

  #nameOf(name: Phase | Side): { readonly address: number; readonly length: number } {
    return namesIn(this.#parts.wasmtime.memory).get(name) ?? NO_NAME;
  }

  #delete(): void {
    abandoned.unregister(this);
    this.#memories = [];
    this.#kept = undefined;
    this.#parts.wasmtime.api.wasmtime_store_delete(this.#handles.store);
  }
}

/** Stores of instances that nobody stopped. */
const abandoned = new FinalizationRegistry<{ readonly api: WasmtimeParts["wasmtime"]["api"]; readonly store: Pointer }>(
  ({ api, store }) => api.wasmtime_store_delete(store),
);

const NO_BYTES = new Uint8Array();
/** Takes an answer out of the small area. */
type Take<T> = (values: Values) => T;
const takeAnswer: Take<string> = (values) => values.takeAnswer();
const takeWord: Take<number> = (values) => values.takeWord();
const takeProblems: Take<{ readonly problems: string | undefined }> = (values) => ({ problems: values.takeError() });
/** What is taken of a function that answers nothing. */
const NO_ANSWER: Take<undefined> = () => undefined;
const NO_NAME = { address: 0, length: 0 };
/** Where the names of phases and sides lie. */
const NAMES_AT = 1024;
type Names = ReadonlyMap<string, { readonly address: number; readonly length: number }>;
const placedNames = new WeakMap<NativeMemory, Names>();

/** The names of enumerations' cases, written once. */
function namesIn(memory: NativeMemory): Names {
  const known = placedNames.get(memory);
  if (known !== undefined) return known;
  const bytes = Buffer.from(memory.words.buffer);
  const names = new Map<string, { readonly address: number; readonly length: number }>();
  let at = NAMES_AT;
  for (const name of [...PHASES, ...SIDES]) {
    names.set(name, { address: Number(memory.at(at)), length: bytes.write(name, at) });
    at += name.length;
  }
  placedNames.set(memory, names);
  return names;
}

/** The innermost reason in a report, which also has the guest's stack. */
function causeOf(report: string): string {
  const [first = "", ...causes] = report.split("\nCaused by:\n");
  const cause = causes.at(-1)?.trimEnd().split("\n").at(-1) ?? first.split("\n", 1)[0] ?? "";
  return cause.trim().replace(/^(?:\d+: )?(?:wasm trap: )?/u, "");
}
