// What Wasmtime's guests import: the host of filter.wit, and of WASI clocks, a seed and a place for last words. What is
// not here traps. No JavaScript exception may cross into native code: whatever is thrown becomes a trap of the guest.
import { JSCallback, type Pointer } from "bun:ffi";
import { HOST_INTERFACE, SIDES, type LogLevel, type Side } from "../../sdk/wit/world.ts";
import { HOST_CALL_FUEL, type BoundedHost } from "./bounded-host.ts";
import { WORDS_MAX_BYTES, writeWords } from "./wasi.ts";
import type { LinearMemory } from "./linear-memories.ts";
import { address, NativeMemory, OUT, type Returned } from "./native-memory.ts";
import { required, takeMessage, type Wasmtime } from "./wasmtime-library.ts";
import { Arguments, type Values } from "./wasmtime-values.ts";

/** The guest that runs now; Wasmtime tells a callback its store only by an address. */
export interface RunningGuest {
  readonly host: BoundedHost;
  readonly spend: (units: number) => void;
  /** Where its bytes lie; `undefined` while it is being linked. */
  readonly memory: LinearMemory | undefined;
}

/** One import: what it takes, and its work, which makes the result where there is one. */
interface HostFunction {
  readonly parameters: number;
  readonly hasResult: boolean;
  run(guest: RunningGuest, args: Arguments, context: Pointer): void;
}

const NANOSECONDS = 1_000_000;
const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
/** Wasmtime tells the host's resources apart by numbers. */
const OUTPUT_STREAM = 1;
const POLLABLE = 2;
/** The resource that an interface defines. */
const RESOURCES: Readonly<Record<string, { readonly name: string; readonly type: number }>> = {
  "wasi:io/streams": { name: "output-stream", type: OUTPUT_STREAM },
  "wasi:io/poll": { name: "pollable", type: POLLABLE },
};
/** Bytes that cross as a list take 32 each on their way, and some 40 ns. */
const LISTED_FUEL = 6;
/** A byte that crosses as a character: Wasmtime writes them one by one, in some 20 ns. */
const LATIN1_FUEL = 3;

/** The imports of every guest of a process. */
export class WasmtimeHost {
  readonly #wasmtime: Wasmtime;
  readonly #args: Arguments;
  readonly #values: Values;
  readonly #callbacks = new Map<string, JSCallback>();
  readonly #dropped: JSCallback;
  readonly #functions: Readonly<Record<string, Readonly<Record<string, HostFunction>>>>;
  #running: RunningGuest | undefined;

  constructor(wasmtime: Wasmtime, values: Values) {
    this.#wasmtime = wasmtime;
    this.#values = values;
    this.#args = new Arguments(wasmtime.memory);
    this.#functions = { [HOST_INTERFACE]: this.#vespid(), ...this.#wasi() };
    this.#dropped = new JSCallback(() => 0, { args: ["ptr", "ptr", "u32"], returns: "ptr" });
  }

  /** Host functions are called by `guest` from now on, until `leave` is given what this returns. */
  enter(guest: RunningGuest): RunningGuest | undefined {
    const before = this.#running;
    this.#running = guest;
    return before;
  }

  leave(before: RunningGuest | undefined): void {
    this.#running = before;
  }

  /** Defines in a linker what a component of these imports may call; the error says what Wasmtime did not accept. */
  define(linker: Pointer, imports: readonly string[]): string | undefined {
    const { api } = this.#wasmtime;
    const root = required(api.wasmtime_component_linker_root(linker));
    let reason: string | undefined;
    for (const name of imports) {
      const base = name === HOST_INTERFACE ? name : name.replace(/@.*$/u, "");
      const functions = this.#functions[base];
      if (functions !== undefined) reason ??= this.#defineInstance(root, name, base, functions);
    }
    api.wasmtime_component_linker_instance_delete(root);
    return reason;
  }

  #defineInstance(
    root: Pointer,
    name: string,
    base: string,
    functions: Readonly<Record<string, HostFunction>>,
  ): string | undefined {
    const { api, memory } = this.#wasmtime;
    const bytes = Buffer.from(name);
    const failed = api.wasmtime_component_linker_instance_add_instance(root, bytes, bytes.length, memory.at(OUT));
    if (failed !== null) return takeMessage(this.#wasmtime, failed);
    const instance = required(memory.pointerAt(OUT));
    let error: Returned = null;
    const resource = RESOURCES[base];
    if (resource !== undefined) error = this.#defineResource(instance, resource);
    for (const [member, definition] of Object.entries(functions)) {
      const memberBytes = Buffer.from(member);
      const callback = this.#callbackOf(`${base}#${member}`, definition).ptr;
      error ??= api.wasmtime_component_linker_instance_add_func(
        instance,
        memberBytes,
        memberBytes.length,
        callback,
        null,
        null,
      );
    }
    api.wasmtime_component_linker_instance_delete(instance);
    return error === null ? undefined : takeMessage(this.#wasmtime, error);
  }

  #defineResource(instance: Pointer, resource: { readonly name: string; readonly type: number }): Returned {
    const { api } = this.#wasmtime;
    const name = Buffer.from(resource.name);
    const type = required(api.wasmtime_component_resource_type_new_host(resource.type));
    const error = api.wasmtime_component_linker_instance_add_resource(
      instance,
      name,
      name.length,
      type,
      this.#dropped.ptr,
      null,
      null,
    );
    api.wasmtime_component_resource_type_delete(type);
    return error;
  }

  #callbackOf(name: string, definition: HostFunction): JSCallback {
    const known = this.#callbacks.get(name);
    if (known !== undefined) return known;
    const callback = new JSCallback(
      (
        _env: number,
        context: number,
        _type: number,
        args: number,
        count: number | null,
        results: number,
        resultCount: number,
      ) => this.#answer(definition, { context, args, count, results, resultCount }),
      { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "ptr" },
    );
    this.#callbacks.set(name, callback);
    return callback;
  }

  #answer(definition: HostFunction, call: NativeCall): Returned {
    try {
      const guest = this.#running;
      if (guest === undefined) throw new Error("was called while no guest runs");
      if ((call.count ?? 0) !== definition.parameters || (call.resultCount ?? 0) !== (definition.hasResult ? 1 : 0))
        throw new Error("was called with another type than filter.wit says");
      guest.spend(HOST_CALL_FUEL);
      definition.run(guest, this.#args.at(address(call.args), guest.memory), address(call.context));
      if (this.#args.listed > 0) guest.spend(this.#args.listed * LISTED_FUEL);
      if (definition.hasResult) this.#values.moveTo(address(call.results));
      return null;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return this.#wasmtime.api.wasmtime_error_new(NativeMemory.cString(message.replaceAll("\0", "")));
    }
  }

  #vespid(): Readonly<Record<string, HostFunction>> {
    const values = this.#values;
    return {
      log: plain(3, ({ host }, args) => host.log(levelOf(args.name(0)), args.text(1), args.text(2))),
      start: answering(4, ({ host }, args) =>
        values.word(host.start(args.word(0), args.text(1), args.text(2), args.bytes(3))),
      ),
      stop: plain(1, ({ host }, args) => host.stop(args.word(0))),
      emit: plain(3, ({ host }, args) => host.emit(args.word(0), sideOf(args.name(1)), args.bytes(2))),
      settle: plain(2, ({ host }, args) => host.settle(args.word(0), args.text(1))),
      text: answering(3, ({ host }, args) => {
        const { result: answer } = host.text(args.text(0), args.text(1), args.bytes(2));
        values.text(answer.ok ? answer.value : answer.error);
        values.result(answer.ok, true);
      }),
      bytes: answering(3, (guest, args) => {
        if (args.isPlace(0)) this.#answerLatin1(guest, args);
        else this.#answerList(guest, args);
      }),
    };
  }

  /** `bytes` as `place-bytes.ts` made it: it answers a string whose Latin-1 are the bytes. */
  #answerLatin1({ host, spend }: RunningGuest, args: Arguments): void {
    const [name, request] = [Buffer.from(args.bytes(0)).toString(), Buffer.from(args.bytes(1)).toString()];
    const { result: answer } = host.bytes(name, request, args.bytes(2));
    if (answer.ok) spend(answer.value.length * LATIN1_FUEL);
    this.#values.text(latin1Of(answer.ok ? answer.value : Buffer.from(answer.error)));
    this.#values.result(answer.ok, true);
  }

  #answerList({ host, spend }: RunningGuest, args: Arguments): void {
    const { result: answer } = host.bytes(args.text(0), args.text(1), args.bytes(2));
    if (answer.ok) spend(answer.value.length * LISTED_FUEL);
    if (answer.ok) this.#values.bytes(answer.value);
    else this.#values.text(answer.error);
    this.#values.result(answer.ok, true);
  }

  #wasi(): Readonly<Record<string, Readonly<Record<string, HostFunction>>>> {
    const values = this.#values;
    const emptyList = answering(0, () => values.emptyList());
    const none = answering(0, () => values.none());
    /** A stream that a guest lends to a call has to be given back before the call returns. */
    const giveBack = (context: Pointer, args: Arguments): void => {
      const failed = this.#wasmtime.api.wasmtime_component_resource_any_drop(context, args.resource(0));
      if (failed !== null) throw new Error(takeMessage(this.#wasmtime, failed));
    };
    const done = answering(1, (_guest, args, context) => {
      giveBack(context, args);
      values.result(true, false);
    });
    const stream = answering(0, (_guest, _args, context) => values.resource(context, OUTPUT_STREAM, 1));
    const write = answering(2, ({ host }, args, context) => {
      const bytes = args.bytes(1);
      giveBack(context, args);
      writeWords(host, bytes);
      values.result(true, false);
    });
    const seed = answering(0, () => {
      const [first = 0n, second = 0n] = crypto.getRandomValues(new BigUint64Array(2));
      values.pairOfLongs(first, second);
    });
    return {
      "wasi:cli/environment": { "get-environment": emptyList, "get-arguments": emptyList, "initial-cwd": none },
      "wasi:cli/stderr": { "get-stderr": stream },
      "wasi:cli/stdout": { "get-stdout": stream },
      "wasi:cli/terminal-stderr": { "get-terminal-stderr": none },
      "wasi:cli/terminal-stdout": { "get-terminal-stdout": none },
      "wasi:cli/terminal-stdin": { "get-terminal-stdin": none },
      "wasi:clocks/monotonic-clock": {
        now: answering(0, ({ host }) => values.long(BigInt(Math.round(host.clock.monotonic() * NANOSECONDS)))),
        resolution: answering(0, () => values.long(BigInt(NANOSECONDS))),
      },
      "wasi:clocks/wall-clock": {
        now: answering(0, ({ host }) => {
          const nowMs = Math.round(host.clock.now());
          values.time(BigInt(Math.floor(nowMs / 1000)), (nowMs % 1000) * NANOSECONDS);
        }),
        resolution: answering(0, () => values.time(0n, NANOSECONDS)),
      },
      "wasi:filesystem/preopens": { "get-directories": emptyList },
      // Output is always ready: C and Rust ask before they write.
      "wasi:io/poll": {
        "[method]pollable.ready": answering(1, (_guest, args, context) => {
          giveBack(context, args);
          values.flag(true);
        }),
        "[method]pollable.block": plain(1, (_guest, args, context) => giveBack(context, args)),
      },
      "wasi:io/streams": {
        "[method]output-stream.subscribe": answering(1, (_guest, args, context) => {
          giveBack(context, args);
          values.resource(context, POLLABLE, 1);
        }),
        "[method]output-stream.check-write": answering(1, (_guest, args, context) => {
          giveBack(context, args);
          values.long(BigInt(WORDS_MAX_BYTES));
          values.result(true, true);
        }),
        "[method]output-stream.write": write,
        "[method]output-stream.blocking-write-and-flush": write,
        "[method]output-stream.flush": done,
        "[method]output-stream.blocking-flush": done,
      },
      "wasi:random/insecure-seed": { "insecure-seed": seed, "get-insecure-seed": seed },
    };
  }
}

/** What Wasmtime hands to a callback. */
interface NativeCall {
  readonly context: number;
  readonly args: number;
  readonly count: number | null;
  readonly results: number;
  readonly resultCount: number | null;
}

function plain(parameters: number, run: HostFunction["run"]): HostFunction {
  return { parameters, hasResult: false, run };
}

function answering(parameters: number, run: HostFunction["run"]): HostFunction {
  return { parameters, hasResult: true, run };
}

function latin1Of({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).latin1Slice(0, length);
}

function levelOf(name: string): LogLevel {
  const level = LEVELS.find((known) => known === name);
  if (level === undefined) throw new Error("was called with a level that does not exist");
  return level;
}

function sideOf(name: string): Side {
  const side = SIDES.find((known) => known === name);
  if (side === undefined) throw new Error("was called with a side that does not exist");
  return side;
}
