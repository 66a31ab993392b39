// Guests on JavaScriptCore: the core modules that control metered, linked by the glue that control generated. The engine
// has no bounds of its own, so every module is checked to spend fuel before it is compiled, whoever signed for it.
import { FUEL_IMPORT, findUnmeteredInSteps } from "../../sdk/build/metered.ts";
import { HANDLER_INTERFACE, HOST_INTERFACE, type Phase, type Side } from "../../sdk/wit/world.ts";
import type { Digest } from "../contract/bundle.ts";
import type { FilterLimits } from "../contract/filter.ts";
import type { Result } from "../exchange/failure.ts";
import type { HostAnswer } from "../host/answer.ts";
import { BoundedHost, HOST_CALL_FUEL } from "./bounded-host.ts";
import { DirectHost, importsHost, type HostCalls } from "./direct-host.ts";
import type { Engine, GuestFault, GuestHost, GuestInstance, GuestModule, LoadedFile } from "./engine.ts";
import { findEntry, type DirectEntry } from "./direct-entry.ts";
import { GuestSnapshot } from "./guest-snapshot.ts";
import { definesMemory, limitMemory } from "./limits.ts";
import { wasiImports } from "./wasi.ts";
import { WeakCache } from "./weak-cache.ts";

const GLUE_FILE = "filter.js";
/** The glue looks interfaces up without their versions. */
const GLUE_HOST = HOST_INTERFACE.replace(/@.*$/u, "");
/** Start functions of a fresh instance; ours puts its memory in place, at one for 64 bytes. */
const START_FUEL = 100_000_000;
/** Less than any debt. */
const FUEL_MIN = -1_000_000_001;
/** Core modules that one guest is linked from; ours have four. */
const INSTANCES_MAX = 64;
/** Memories of one guest: its engine's own, and the empty one that toolchains give their adapter. Each has the limit. */
const MEMORIES_MAX = 2;
/** How much of a module is checked between two turns of the event loop; a few milliseconds' worth. */
const CHECK_SLICE_BYTES = 64 * 1024;

/** The engine that every proxy has. */
export const jscEngine: Engine = {
  name: "jsc",
  selectFiles({ files }) {
    const needed = files.filter(({ name }) => name === GLUE_FILE || name.includes(".core"));
    if (!needed.some(({ name }) => name === GLUE_FILE)) return { ok: false, error: `bundle has no file ${GLUE_FILE}` };
    return { ok: true, value: needed };
  },
  load,
};

/** Most filters share the engine core, by its digest and the limit of its memory, and the glue. */
const compiledModules = new WeakCache<string, WebAssembly.Module>();
const compiledGlue = new WeakCache<Digest, Instantiate>();

/** What the glue offers. */
type Instantiate = (
  getCoreModule: (name: string) => WebAssembly.Module,
  imports: unknown,
  instantiateCore: (
    module: WebAssembly.Module,
    imports: Readonly<Record<string, Bun.WebAssembly.ModuleImports>> | undefined,
  ) => WebAssembly.Instance,
) => Readonly<Record<string, unknown>>;

interface Handler {
  configure(config: string): void;
  begin(call: number, phase: Phase, head: string): string;
  resume(call: number, operation: number, outcome: string, payload: Uint8Array): string;
  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): string;
  cancel(call: number): void;
}

async function load(files: readonly LoadedFile[], limits: FilterLimits): Promise<Result<GuestModule, string>> {
  const modules = new Map<string, WebAssembly.Module>();
  let instantiate: Instantiate | undefined;
  for (const file of files) {
    if (file.name === GLUE_FILE) {
      instantiate = compiledGlue.get(file.digest) ?? evaluateGlue(file);
      continue;
    }
    const module = await compile(file, limits);
    if (!module.ok) return { ok: false, error: `${file.name} ${module.error}` };
    modules.set(file.name, module.value);
  }
  if (instantiate === undefined) return { ok: false, error: `${GLUE_FILE} does not offer "instantiate"` };
  const withMemory = new Set(
    files
      .filter(({ bytes, name }) => name !== GLUE_FILE && definesMemory(bytes))
      .flatMap(({ name }) => modules.get(name) ?? []),
  );
  return { ok: true, value: new JscModule(modules, withMemory, instantiate, limits) };
}

async function compile(file: LoadedFile, limits: FilterLimits): Promise<Result<WebAssembly.Module, string>> {
  const key = `${file.digest} ${limits.memoryMaxBytes}`;
  const known = compiledModules.get(key);
  if (known !== undefined) return { ok: true, value: known };
  const reason = await findUnmeteredGently(file.bytes);
  if (reason !== undefined) return { ok: false, error: `is not metered: ${reason}` };
  const limited = limitMemory(file.bytes, limits.memoryMaxBytes);
  if (!limited.ok) return limited;
  try {
    const module = await WebAssembly.compile(new Uint8Array(limited.value));
    compiledModules.set(key, module);
    return { ok: true, value: module };
  } catch (error) {
    // A CompileError: not WebAssembly that this engine accepts.
    return { ok: false, error: `does not compile: ${String(error)}` };
  }
}

/** The check in slices, so that a proxy under load does not pause for the engine core's 1.3 MB. */
async function findUnmeteredGently(bytes: Uint8Array): Promise<string | undefined> {
  const steps = findUnmeteredInSteps(bytes);
  let sliceEnd = CHECK_SLICE_BYTES;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (step.value < sliceEnd) continue;
    sliceEnd = step.value + CHECK_SLICE_BYTES;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** A function and not a module: the registry of modules would keep every version for ever. */
function evaluateGlue(file: LoadedFile): Instantiate | undefined {
  // oxlint-disable-next-line typescript/no-implied-eval -- Control generated it, the digest was verified, and there is no other way to load it that lets go of it.
  const run = new Function(`${new TextDecoder().decode(file.bytes)}\nreturn glue.instantiate;`);
  const instantiate: unknown = run();
  if (!isInstantiate(instantiate)) return undefined;
  compiledGlue.set(file.digest, instantiate);
  return instantiate;
}

class JscModule implements GuestModule {
  readonly #modules: ReadonlyMap<string, WebAssembly.Module>;
  readonly #withMemory: ReadonlySet<WebAssembly.Module>;
  readonly #instantiate: Instantiate;
  readonly #limits: FilterLimits;

  constructor(
    modules: ReadonlyMap<string, WebAssembly.Module>,
    withMemory: ReadonlySet<WebAssembly.Module>,
    instantiate: Instantiate,
    limits: FilterLimits,
  ) {
    this.#modules = modules;
    this.#withMemory = withMemory;
    this.#instantiate = instantiate;
    this.#limits = limits;
  }

  instantiate(host: GuestHost): Result<GuestInstance, GuestFault> {
    const fuel = new WebAssembly.Global({ value: "i32", mutable: true }, START_FUEL);
    const memories: WebAssembly.Memory[] = [];
    const globals = new Set<WebAssembly.Global>();
    const calls = new BoundedHost(host, (units) => spend(fuel, units));
    const instance = new JscInstance(fuel, { memories, globals }, this.#limits, calls);
    try {
      const linked = { instances: 0, memories: 0, functions: new WeakSet<object>() };
      const exports = this.#instantiate(
        (name) => this.#coreModule(name),
        importsOf(calls),
        (module, imports) => {
          // A component may link one module a thousand times, and each copy has a memory of its own.
          if (++linked.instances > INSTANCES_MAX) throw new Error(`links more than ${INSTANCES_MAX} modules`);
          if (this.#withMemory.has(module) && ++linked.memories > MEMORIES_MAX)
            throw new Error(`has more than ${MEMORIES_MAX} memories`);
          const direct = imports !== undefined && importsHost(imports) ? new DirectHost(calls) : undefined;
          const given = direct === undefined ? imports : { ...imports, [HOST_INTERFACE]: direct.imports };
          const core = new WebAssembly.Instance(module, {
            ...chargeHostCalls(given, linked.functions, fuel),
            [FUEL_IMPORT.module]: { [FUEL_IMPORT.name]: fuel },
          });
          for (const value of Object.values(core.exports)) if (typeof value === "function") linked.functions.add(value);
          memories.push(...Object.values(core.exports).filter((value) => value instanceof WebAssembly.Memory));
          for (const namespace of [core.exports, ...Object.values(imports ?? {})]) {
            for (const value of Object.values(namespace)) if (value instanceof WebAssembly.Global) globals.add(value);
          }
          direct?.linked(core.exports, imports ?? {});
          instance.entry ??= findEntry(core.exports, imports ?? {});
          return core;
        },
      );
      const handler = exports[HANDLER_INTERFACE] ?? exports["handler"];
      if (!isHandler(handler))
        return { ok: false, error: { kind: "trap", message: `does not export ${HANDLER_INTERFACE}` } };
      instance.handler = handler;
      return { ok: true, value: instance };
    } catch (error) {
      return { ok: false, error: faultOf(error, fuel) };
    }
  }

  #coreModule(name: string): WebAssembly.Module {
    const module = this.#modules.get(name);
    if (module === undefined) throw new Error(`bundle has no file ${name}`);
    return module;
  }
}

/** What changes in a guest while it runs. */
interface GuestState {
  readonly memories: readonly WebAssembly.Memory[];
  readonly globals: ReadonlySet<WebAssembly.Global>;
}

class JscInstance implements GuestInstance {
  readonly #fuel: WebAssembly.Global<"i32">;
  readonly #state: GuestState;
  readonly #limits: FilterLimits;
  readonly #host: BoundedHost;
  #kept: GuestSnapshot | undefined = undefined;
  /** A call by the glue has not returned: what the glue knows of the guest is not in its memory. */
  #isInGlue = false;
  fuelMax: number;
  readonly resetsAfterFaults = true;
  handler: Handler = NOT_LINKED;
  entry: DirectEntry | undefined;
  fuelUsed = 0;

  constructor(fuel: WebAssembly.Global<"i32">, state: GuestState, limits: FilterLimits, host: BoundedHost) {
    this.#fuel = fuel;
    this.#state = state;
    this.#limits = limits;
    this.fuelMax = limits.fuel;
    this.#host = host;
  }

  get memoryBytes(): number {
    return this.#state.memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }

  get isMemoryFull(): boolean {
    return this.#state.memories.some(({ buffer }) => buffer.byteLength >= this.#limits.memoryMaxBytes);
  }

  configure(config: string): ReturnType<GuestInstance["configure"]> {
    const configured = this.#call((handler) => {
      try {
        handler.configure(config);
        return undefined;
      } catch (error) {
        // The glue throws the error of a WIT result as an object with a payload.
        if (error instanceof Error && "payload" in error) return String(error.payload);
        throw error;
      }
    });
    return configured.ok ? { ok: true, value: { problems: configured.value } } : configured;
  }

  begin(call: number, phase: Phase, head: string): Result<string, GuestFault> {
    const { entry } = this;
    if (entry === undefined) return this.#call((handler) => handler.begin(call, phase, head));
    this.#refuel();
    try {
      return this.#answered(entry.begin(call, phase, head));
    } catch (error) {
      return this.#faulted(error);
    }
  }

  resume(call: number, operation: number, outcome: string, payload: Uint8Array): Result<string, GuestFault> {
    const { entry } = this;
    if (entry === undefined) return this.#call((handler) => handler.resume(call, operation, outcome, payload));
    this.#refuel();
    try {
      return this.#answered(entry.resume(call, operation, outcome, payload));
    } catch (error) {
      return this.#faulted(error);
    }
  }

  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): Result<string, GuestFault> {
    const { entry } = this;
    if (entry === undefined) return this.#call((handler) => handler.chunk(call, source, bytes, isEnd));
    this.#refuel();
    try {
      return this.#answered(entry.chunk(call, source, bytes, isEnd));
    } catch (error) {
      return this.#faulted(error);
    }
  }

  cancel(call: number): Result<undefined, GuestFault> {
    return this.#call((handler) => {
      handler.cancel(call);
      return undefined;
    });
  }

  keep(): boolean {
    this.#kept = new GuestSnapshot(this.#state.memories, this.#state.globals);
    return true;
  }

  reset(): boolean {
    return this.#kept !== undefined && !this.#isInGlue && this.#kept.restore();
  }

  /** Nothing is held that the garbage collector would not find. */
  stop(): void {
    this.#kept = undefined;
  }

  #call<T>(run: (handler: Handler) => T): Result<T, GuestFault> {
    this.#refuel();
    try {
      this.#isInGlue = true;
      const value = run(this.handler);
      this.#isInGlue = false;
      this.fuelUsed = this.fuelMax - this.#fuel.value;
      return { ok: true, value };
    } catch (error) {
      return this.#faulted(error);
    }
  }

  #refuel(): void {
    this.#fuel.value = this.fuelMax;
    this.#host.beginCall();
  }

  #answered(answer: string): Result<string, GuestFault> {
    this.fuelUsed = this.fuelMax - this.#fuel.value;
    return { ok: true, value: answer };
  }

  #faulted(error: unknown): { readonly ok: false; readonly error: GuestFault } {
    this.fuelUsed = Math.min(this.fuelMax, this.fuelMax - this.#fuel.value);
    return { ok: false, error: faultOf(error, this.#fuel) };
  }
}

/**
 * Takes fuel for what the host does; where none is left, the guest traps at once. It checks its fuel where it loops and where
 * a function begins, and may call the host a thousand times between.
 */
function spend(fuel: WebAssembly.Global<"i32">, units: number): void {
  // A guest may catch the exception: a number of 32 bits must not come out on the other side.
  const left = Math.max(fuel.value - units, FUEL_MIN);
  fuel.value = left;
  if (left < 0) throw new Error("ran out of fuel");
}

/** Imports whose functions of the host, the glue's own among them, cost fuel; those of other core modules spend by themselves. */
function chargeHostCalls(
  imports: Readonly<Record<string, Bun.WebAssembly.ModuleImports>> | undefined,
  metered: WeakSet<object>,
  fuel: WebAssembly.Global<"i32">,
): Record<string, Bun.WebAssembly.ModuleImports> {
  const charged = (value: unknown): unknown => {
    if (!isHostFunction(value) || metered.has(value)) return value;
    return (...values: unknown[]) => {
      spend(fuel, HOST_CALL_FUEL);
      return value(...values);
    };
  };
  const entries = Object.entries(imports ?? {}).map(([module, members]) => {
    const all = Object.entries(members).map(([name, value]) => [name, charged(value)] as const);
    return [module, Object.fromEntries(all)] as const;
  });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what stood there, or a function in a function's place
  return Object.fromEntries(entries) as Record<string, Bun.WebAssembly.ModuleImports>;
}

function isHostFunction(value: unknown): value is (...values: unknown[]) => unknown {
  return typeof value === "function";
}

/** The host for the glue, which a module goes through that names the interface in another way. */
function importsOf(calls: BoundedHost): unknown {
  const vespid: HostCallsOfGlue = {
    log: (level, message, fields) => calls.log(level, message, fields),
    start: (call, kind, request, payload) => calls.start(call, kind, request, payload),
    stop: (operation) => calls.stop(operation),
    emit: (call, to, bytes) => calls.emit(call, to, bytes),
    settle: (call, answer) => calls.settle(call, answer),
    text: (name, request, payload) => unwrap(calls.text(name, request, payload)),
    bytes: (name, request, payload) => unwrap(calls.bytes(name, request, payload)),
  };
  const wasi = wasiImports(calls);
  return new Proxy({}, { get: (_, name) => (name === GLUE_HOST ? vespid : wasi[String(name)]) });
}

/** The glue wants the error of a result thrown. */
type HostCallsOfGlue = Omit<HostCalls, "text" | "bytes"> & {
  text(...asked: Parameters<HostCalls["text"]>): string;
  bytes(...asked: Parameters<HostCalls["bytes"]>): Uint8Array;
};

function unwrap<Value>({ result }: HostAnswer<Value>): Value {
  if (result.ok) return result.value;
  throw new GuestError(result.error);
}

/** The error of a WIT result, as the glue wants it thrown: the guest sees it as an exception of its own. */
class GuestError extends Error {
  readonly payload: string;

  constructor(payload: string) {
    super(payload);
    this.payload = payload;
  }
}

function faultOf(error: unknown, fuel: WebAssembly.Global<"i32">): GuestFault {
  if (fuel.value < 0) return { kind: "out_of_fuel", message: "ran out of fuel" };
  if (error instanceof RangeError) return { kind: "stack_overflow", message: "ran out of stack" };
  return { kind: "trap", message: `trapped: ${error instanceof Error ? error.message : String(error)}` };
}

/** The handler of an instance that is still being linked; calling it is a fault like any other. */
const NOT_LINKED: Handler = {
  configure: notLinked,
  begin: notLinked,
  resume: notLinked,
  chunk: notLinked,
  cancel: notLinked,
};

function notLinked(): never {
  throw new Error("is not linked");
}

function isInstantiate(value: unknown): value is Instantiate {
  return typeof value === "function";
}

function isHandler(value: unknown): value is Handler {
  return (
    typeof value === "object" &&
    value !== null &&
    ["configure", "begin", "resume", "chunk", "cancel"].every((name) => typeof Reflect.get(value, name) === "function")
  );
}
