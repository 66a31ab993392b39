// Filters as people look at them: calls, lines and exchanges of the filters that somebody taps, collected for a moment and
// told to control. What is more than can be told is dropped and counted; where nobody looks, nothing here is called.
import { compileChoice, type Choose } from "../chain/choice.ts";
import { Secrets } from "../chain/secrets.ts";
import type { Filter } from "../chain/filter.ts";
import { TappedFilter, type CallWatcher, type EndedCall, type WatchedCall } from "../chain/tapped-filter.ts";
import type { CallEvent, Tap, TapEvent } from "../contract/tap.ts";
import type { Clock, Exchange, Schedule } from "../exchange/exchange.ts";
import type { LogLevel } from "../../sdk/wit/world.ts";
import { ExchangeRecorder } from "./exchange-recorder.ts";

/** How long events are collected before they are told. */
const TELL_AFTER_MS = 100;
/** Of one tap, collected at once. */
const EVENTS_MAX = 500;
const BYTES_MAX = 1024 * 1024;
const WORD_MAX_LENGTH = 64;
const ID_MAX_LENGTH = 256;
const PATH_MAX_LENGTH = 1024;
const TEXT_MAX_LENGTH = 8192;
const FIELDS_MAX_LENGTH = 8192;
const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Hands events on; `false` where nobody takes them. */
export type TellTapped = (tap: string, events: TapEvent[], dropped: number) => boolean;

export interface TapsOptions {
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly tell: TellTapped;
  /** A failure of a filter with the lines of its author's files. */
  readonly explain: (filter: string, version: "live" | "candidate", reason: string) => Promise<string>;
}

export class Taps {
  readonly #options: TapsOptions;
  readonly #taps = new Map<string, LiveTap>();
  readonly #filters = new Set<WeakRef<TappedFilter>>();
  readonly #watchers = new Map<string, Watcher>();

  constructor(options: TapsOptions) {
    this.#options = options;
  }

  /** The filters of a chain, which can be looked at from now on. */
  wrap(filters: readonly Filter[]): readonly Filter[] {
    for (const known of this.#filters) if (known.deref() === undefined) this.#filters.delete(known);
    return filters.map((filter) => {
      const tapped = new TappedFilter(filter);
      tapped.watch(this.#watchers.get(filter.name));
      this.#filters.add(new WeakRef(tapped));
      return tapped;
    });
  }

  /** Everything that is to be looked at; what was there before and is not in it ends. */
  set(taps: readonly Tap[]): void {
    const wanted = new Set(taps.map(({ id }) => id));
    for (const id of this.#taps.keys()) if (!wanted.has(id)) this.#taps.delete(id);
    for (const tap of taps) {
      if (!this.#taps.has(tap.id)) this.#taps.set(tap.id, new LiveTap(tap, this.#options));
    }
    this.#watchers.clear();
    for (const live of this.#taps.values()) {
      const { filter } = live.tap;
      const watcher = this.#watchers.get(filter) ?? new Watcher(this.#options);
      watcher.taps.push(live);
      this.#watchers.set(filter, watcher);
    }
    for (const reference of this.#filters) {
      const filter = reference.deref();
      filter?.watch(this.#watchers.get(filter.name));
    }
  }

  /** Takes a line that a filter writes now; what is returned is called with the line as it is shown. */
  lineOf(
    filter: string,
  ): ((level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>) => void) | undefined {
    if (this.#watchers.size === 0) return undefined;
    const watcher = this.#watchers.get(filter.split("~")[0] ?? "");
    const current = watcher?.current;
    return watcher && ((level, message, fields) => watcher.logged(level, message, fields, current));
  }
}

/** One tap, and what was seen for it since the last telling. */
class LiveTap {
  readonly tap: Tap;
  readonly choose: Choose;
  readonly secrets: Secrets;
  readonly #options: TapsOptions;
  #events: TapEvent[] = [];
  #bytes = 0;
  #dropped = 0;
  #isScheduled = false;

  constructor(tap: Tap, options: TapsOptions) {
    this.tap = tap;
    // By the filter's name alone: proxies and people that look at the same share see the same exchanges.
    this.choose = compileChoice(tap.filter, { by: "request.id", percent: tap.sample * 100 });
    this.secrets = new Secrets(tap.redact);
    this.#options = options;
  }

  /** Whether every exchange is meant. */
  get takesAll(): boolean {
    return this.tap.sample >= 1 && this.tap.status === undefined;
  }

  accepts(status: number): boolean {
    const wanted = this.tap.status;
    return (
      wanted === undefined ||
      wanted === String(status) ||
      (wanted.endsWith("xx") && wanted.startsWith(String(status)[0] ?? "-"))
    );
  }

  push(event: TapEvent): void {
    const bytes = JSON.stringify(event).length;
    // A message that is larger than control takes would cost the connection.
    if (this.#events.length >= EVENTS_MAX || this.#bytes + bytes > BYTES_MAX) this.#dropped++;
    else {
      this.#events.push(event);
      this.#bytes += bytes;
    }
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.schedule(() => this.#tell(), TELL_AFTER_MS);
  }

  #tell(): void {
    this.#isScheduled = false;
    const told = this.#options.tell(this.tap.id, this.#events, this.#dropped);
    this.#dropped = told ? 0 : this.#dropped + this.#events.length;
    this.#events = [];
    this.#bytes = 0;
  }
}

/** An exchange that somebody looks at. */
interface Seen {
  readonly taps: readonly LiveTap[];
  readonly recorders: readonly ExchangeRecorder[];
  /** Told when the exchange is over: then it is known what it was answered. */
  readonly events: Promise<CallEvent | Extract<TapEvent, { kind: "log" }>>[];
}

/** Events of one exchange that are kept until it is over. */
const HELD_MAX = 100;

/** Everybody who looks at one filter. */
class Watcher implements CallWatcher {
  readonly taps: LiveTap[] = [];
  readonly #options: TapsOptions;
  readonly #seen = new WeakMap<Exchange, Seen>();
  /** Whose handler is running. */
  current: Exchange | undefined = undefined;

  constructor(options: TapsOptions) {
    this.#options = options;
  }

  begin(call: WatchedCall): ((ended: EndedCall) => void) | undefined {
    const { exchange } = call;
    const seen = this.#seen.get(exchange) ?? this.#open(exchange);
    if (seen === undefined) return undefined;
    for (const recorder of seen.recorders) recorder.begin(call);
    const startedMs = this.#options.clock.monotonic();
    return (ended) => {
      for (const recorder of seen.recorders) recorder.ended(ended);
      this.#called(seen, ended, this.#options.clock.monotonic() - startedMs);
    };
  }

  entered(exchange: Exchange): void {
    this.current = exchange;
  }

  left(): void {
    this.current = undefined;
  }

  logged(
    level: LogLevel,
    message: string,
    fields: Readonly<Record<string, unknown>>,
    exchange: Exchange | undefined,
  ): void {
    const seen = exchange === undefined ? undefined : this.#seen.get(exchange);
    const event = {
      kind: "log" as const,
      atMs: this.#options.clock.now(),
      level,
      message: message.slice(0, TEXT_MAX_LENGTH),
      fields: boundedFields(fields),
      ...(exchange === undefined ? {} : { requestId: exchange.requestId.slice(0, ID_MAX_LENGTH) }),
    };
    if (seen !== undefined) {
      if (seen.events.length < HELD_MAX) seen.events.push(Promise.resolve(event));
      return;
    }
    for (const live of this.taps) {
      if (live.tap.kind === "tail" && live.takesAll && isShown(live.tap, event)) live.push(event);
    }
  }

  #open(exchange: Exchange): Seen | undefined {
    const taps = this.taps.filter(({ choose }) => choose(exchange));
    if (taps.length === 0) return undefined;
    const recorders = taps
      .filter(({ tap }) => tap.kind === "record")
      .map((live) => new ExchangeRecorder(live.tap, live.secrets, this.#options.clock.now()));
    const seen: Seen = { taps, recorders, events: [] };
    this.#seen.set(exchange, seen);
    const before = exchange.onEnd;
    exchange.onEnd = () => {
      this.#finish(seen, exchange);
      before?.();
    };
    return seen;
  }

  #called(seen: Seen, ended: EndedCall, tookMs: number): void {
    const event = this.#render(ended, tookMs);
    // What is asked when the exchange is over comes after it was told.
    if (ended.phase === "log") void this.#tell(seen, [event], ended.exchange.status);
    else if (seen.events.length < HELD_MAX) seen.events.push(event);
  }

  #finish(seen: Seen, exchange: Exchange): void {
    const { status } = exchange;
    const recorded = seen.recorders.map((recorder) => recorder.finish());
    seen.taps
      .filter(({ tap }) => tap.kind === "record")
      .forEach((live, index) => {
        const one = recorded[index];
        if (one !== undefined && live.accepts(status)) live.push({ kind: "exchange", exchange: one });
      });
    void this.#tell(seen, seen.events.splice(0), status);
  }

  async #tell({ taps }: Seen, pending: Seen["events"], status: number): Promise<void> {
    const events = await Promise.all(pending);
    for (const live of taps) {
      if (live.tap.kind !== "tail" || !live.accepts(status)) continue;
      for (const event of events) {
        if (event.kind === "call") live.push({ ...event, status });
        else if (isShown(live.tap, event)) live.push(event);
      }
    }
  }

  async #render({ phase, exchange, verdict, version, fuel }: EndedCall, tookMs: number): Promise<CallEvent> {
    const { requestId, method, path, status } = exchange;
    const failure = verdict.kind === "failed" ? verdict.failure : undefined;
    const isCancelled = failure !== undefined && failure.kind !== "filter_failed";
    const event: CallEvent = {
      kind: "call",
      atMs: this.#options.clock.now(),
      requestId: requestId.slice(0, ID_MAX_LENGTH),
      phase,
      version,
      method: method.slice(0, WORD_MAX_LENGTH),
      path: (path.split("?", 1)[0] ?? "").slice(0, PATH_MAX_LENGTH),
      verdict: isCancelled ? "cancelled" : verdict.kind,
      ...(verdict.kind === "reply" ? { replyStatus: verdict.reply.status } : {}),
      tookMs: Math.max(0, tookMs),
      fuel,
      status,
    };
    if (failure === undefined) return event;
    const name = this.taps[0]?.tap.filter ?? "";
    const reason = await this.#options.explain(name, version, failure.message);
    return { ...event, reason: reason.slice(0, TEXT_MAX_LENGTH) };
  }
}

function isShown(tap: Tap, { level }: { readonly level: LogLevel }): boolean {
  return SEVERITY[level] >= SEVERITY[tap.level];
}

/** Fields are the author's, and bounded together. */
function boundedFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { filter: _filter, ...own } = fields;
  const text = JSON.stringify(own);
  return text.length <= FIELDS_MAX_LENGTH ? own : { leftOut: `${text.length} characters of fields` };
}
