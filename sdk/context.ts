// What a handler has besides the message: the same class in the sandbox and natively, over that call's port.
import { fetchUpstream, type FetchInit, type UpstreamResponse } from "./fetch.ts";
import type { Meters } from "./metric.ts";
import { checkOutcome, type CallPort, type OperationKind, type OperationOptions, type ReadOutcome } from "./port.ts";
import type { Shared } from "./shared.ts";
import type { LogLevel } from "./wit/world.ts";

/** One line in the proxy's log, with fields that a log's reader can search; cut at 4096 characters, 16 lines a call. */
export type WriteLog = (message: string, fields?: Readonly<Record<string, unknown>>) => void;
export type Logs = Readonly<Record<LogLevel, WriteLog>>;

/** What handlers have. */
export interface FilterContext<Config = unknown, State = unknown, Metrics = unknown, Upstream extends string = never> {
  /** The configuration, as the filter's schema gives it out. */
  readonly config: Config;
  /** What `setup` returned. */
  readonly state: State;
  readonly log: Logs;
  readonly metrics: Meters<Metrics>;
  /** Counters and values that this filter has in common with itself in the proxy's other workers. */
  readonly shared: Shared;
  /** Calls an upstream that the filter declares; the use of the filter says which service that is. */
  readonly fetch: (
    upstream: "*" extends Upstream ? string : Upstream,
    path: string,
    init?: FetchInit,
  ) => Promise<UpstreamResponse>;
  /** Resolves after so long, unless the call ends before. */
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** Aborted when nobody waits for the call any more. */
  readonly signal: AbortSignal;
}

/** Who does for calls what they ask; calls are whatever it tells them apart by. */
export interface CallHost<Call> {
  operate<Value>(
    call: Call,
    kind: OperationKind,
    request: string,
    read: ReadOutcome<Value>,
    options: OperationOptions | undefined,
  ): Promise<Value>;
  signalOf(call: Call): AbortSignal;
}

/** What all calls of a filter have in common. */
export interface ContextBase<Call> {
  readonly config: unknown;
  state: unknown;
  readonly log: Logs;
  readonly metrics: unknown;
  readonly shared: Shared;
  readonly host: CallHost<Call>;
}

/** One call's context, and its way to the host. Nothing but two fields, as each call makes one. */
export class CallContext<Call> implements CallPort {
  readonly call: Call;
  /** @internal Not `#private`, which an interpreter pays for at each access. */
  readonly base: ContextBase<Call>;

  constructor(base: ContextBase<Call>, call: Call) {
    this.base = base;
    this.call = call;
  }

  operate<Value>(
    kind: OperationKind,
    request: string,
    read: ReadOutcome<Value>,
    options: OperationOptions | undefined,
  ): Promise<Value> {
    return this.base.host.operate(this.call, kind, request, read, options);
  }

  get signal(): AbortSignal {
    return this.base.host.signalOf(this.call);
  }

  get config(): unknown {
    return this.base.config;
  }

  get state(): unknown {
    return this.base.state;
  }

  get log(): Logs {
    return this.base.log;
  }

  get metrics(): unknown {
    return this.base.metrics;
  }

  get shared(): Shared {
    return this.base.shared;
  }

  // Getters, so that a handler may take the context apart, and calls that use neither make neither.
  get fetch(): (upstream: string, path: string, init?: FetchInit) => Promise<UpstreamResponse> {
    return (upstream, path, init) => fetchUpstream(this, upstream, path, init);
  }

  get sleep(): (milliseconds: number) => Promise<void> {
    return (milliseconds) => {
      return this.operate("sleep", String(Math.max(0, Math.round(milliseconds))), checkOutcome, undefined);
    };
  }
}

const PROTOTYPE = CallContext.prototype;

/** As `new CallContext`, in half the steps of an interpreter, which finds a literal cheaper than a constructor's call. */
export function contextOf<Call>(base: ContextBase<Call>, call: Call): CallContext<Call> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has the prototype and the fields of one
  return { __proto__: PROTOTYPE, base, call } as unknown as CallContext<Call>;
}
