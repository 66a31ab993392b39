// What a sandbox engine must do. JavaScriptCore runs the metered core modules that control derived; an engine that runs
// components takes the component itself. The chain sees neither.
import type { LogLevel, Phase, Side } from "../../sdk/wit/world.ts";
import type { BundleFile, BundleRef } from "../contract/bundle.ts";
import type { FilterLimits } from "../contract/filter.ts";
import type { Clock } from "../exchange/exchange.ts";
import type { Result } from "../exchange/failure.ts";
import type { HostAnswer } from "../host/answer.ts";

/** Runs guests. */
export interface Engine {
  readonly name: "jsc" | "wasmtime";
  /** The files of a bundle that this engine loads, or what is missing. */
  selectFiles(bundle: BundleRef): Result<readonly BundleFile[], string>;
  /** Verifies and compiles; tens of milliseconds, off the request path. Digests were verified by the caller. */
  load(files: readonly LoadedFile[], limits: FilterLimits): Promise<Result<GuestModule, string>>;
}

/** A file whose bytes fit its digest. */
export interface LoadedFile extends BundleFile {
  readonly bytes: Uint8Array;
}

/** Compiled code; instances of it cost milliseconds or less. */
export interface GuestModule {
  instantiate(host: GuestHost): Result<GuestInstance, GuestFault>;
}

/** What one instance may use of the proxy: the WIT's interface `host`. Engines see to it that none of it throws into a guest otherwise than as the WIT says. */
export interface GuestHost {
  readonly clock: Clock;
  readonly log: (level: LogLevel, message: string, fields: string) => void;
  /** The operation's number, or why the guest must trap. */
  readonly start: (call: number, kind: string, request: string, payload: Uint8Array) => Result<number, string>;
  readonly stop: (operation: number) => void;
  /** The bytes are the guest's and valid during the call only. */
  readonly emit: (call: number, to: Side, bytes: Uint8Array) => void;
  readonly settle: (call: number, answer: string) => void;
  /** Answers a host function; `fuel` is what it costs besides the call itself, charged before the guest goes on. */
  readonly text: (name: string, request: string, payload: Uint8Array) => HostAnswer<string>;
  readonly bytes: (name: string, request: string, payload: Uint8Array) => HostAnswer<Uint8Array>;
}

/** One guest: a memory of its own. After a fault it must not be called again. */
export interface GuestInstance {
  /** Problems as JSON where the guest refuses its configuration. */
  configure(config: string): Result<{ readonly problems: string | undefined }, GuestFault>;
  begin(call: number, phase: Phase, head: string): Result<string, GuestFault>;
  resume(call: number, operation: number, outcome: string, payload: Uint8Array): Result<string, GuestFault>;
  /** `bytes` are read during the call only. */
  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): Result<string, GuestFault>;
  cancel(call: number): Result<undefined, GuestFault>;
  /** Fuel that each call may use; the use's limit until somebody sets less. */
  fuelMax: number;
  /** Remembers what it is now, for `reset`; nothing of it may be running. Costs its memory once more; false where it cannot be put back. */
  keep(): boolean;
  /** Back to what `keep` remembered; false where it cannot be, as where its memory has grown, and a new instance has to do. */
  reset(): boolean;
  /** Whether `reset` may be called after a fault. */
  readonly resetsAfterFaults: boolean;
  /** Fuel that the last call used. */
  readonly fuelUsed: number;
  /** Linear memory that it holds now. */
  readonly memoryBytes: number;
  /** Whether it holds all the memory that it may: the next allocation could fail. */
  readonly isMemoryFull: boolean;
  /** Lets go of what is not the garbage collector's; it must not be called again. */
  stop(): void;
}

/** Why an instance is of no use any more. */
export interface GuestFault {
  readonly kind: "out_of_fuel" | "stack_overflow" | "trap";
  /** For logs: lower case. */
  readonly message: string;
}
