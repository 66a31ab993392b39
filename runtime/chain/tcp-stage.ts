// One filter at one connection, as bytes of both sides come by. One call is under way at a time; what comes meanwhile waits,
// in order, and whoever feeds it is told when that is much.
import type { Side } from "../../sdk/wit/world.ts";
import type { Clock } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import type { FilterRun } from "../exchange/observer.ts";
import { charge } from "../exchange/filter-cost.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";
import type { RunObserver } from "./chain.ts";
import { Circuit } from "./circuit.ts";
import type { ConnectionRun, ConnectionVerdict } from "./connection.ts";
import type { Filter } from "./filter.ts";

/** Bytes of one call, as the WIT says. */
const CHUNK_MAX_BYTES = 64 * 1024;
const FIRST_MAX_BYTES = 16 * 1024;
/** What may wait for one call: those who send rest long before. */
const WAITING_MAX_BYTES = 4 * 1024 * 1024;
const NO_BYTES = new Uint8Array(0);
const NONE = { bytes: NO_BYTES, isEnd: false } as const;

/** A filter in a chain of connections, and whether it may be asked. */
export interface TcpLink {
  readonly filter: Filter;
  readonly connect: NonNullable<Filter["connection"]>;
  readonly circuit: Circuit;
  /** The verdict while it is not asked. */
  readonly resting: ConnectionVerdict;
}

/** The filters of a chain that look at connections. */
export function linkOf(filter: Filter): TcpLink | undefined {
  const { connection: connect } = filter;
  if (connect === undefined) return undefined;
  const resting = failed(filter, "keeps failing, and is not asked for a while");
  return { filter, connect, circuit: new Circuit(), resting };
}

/** What a stage says to the line that it stands in. */
export interface Line {
  /** Bytes that `source` sent, behind this stage. Borrowed ones are valid during the call only. */
  forward(stage: TcpStage, source: Side, bytes: Uint8Array, isEnd: boolean, isBorrowed: boolean): void;
  /** It has begun: the next one may, or an upstream be connected. */
  begun(stage: TcpStage): void;
  /** Sends the connection elsewhere. */
  route(cluster: string): void;
  /** It answered whom it took bytes from. */
  answered(source: Side): void;
  /** What waits has changed. */
  moved(): void;
  /** Ends the connection, as the filter wants. */
  close(stage: TcpStage, verdict: Extract<ConnectionVerdict, { kind: "close" }>): void;
  /** Ends it at once: the filter failed, and may not be left out. */
  fail(stage: TcpStage, cause: Failure): void;
}

interface Piece {
  readonly source: Side;
  readonly bytes: Uint8Array;
  readonly isEnd: boolean;
}

type Proceeding = Extract<ConnectionVerdict, { kind: "proceed" }>;

export class TcpStage {
  readonly link: TcpLink;
  readonly #line: Line;
  readonly #clock: Clock;
  readonly #observer: RunObserver;
  readonly #run: ConnectionRun;
  readonly #session: TcpSession;
  #state: "resting" | "beginning" | "sniffing" | "streaming" | "stopped" = "resting";
  #isThinking = false;
  readonly #reads: Record<Side, boolean> = { downstream: false, upstream: false };
  #queue: Piece[] = [];
  readonly #waitingBytes: Record<Side, number> = { downstream: 0, upstream: 0 };
  /** First bytes of the downstream that do not tell yet; `isEnd` where it sent FIN behind them. */
  #first: { readonly bytes: Uint8Array; readonly isEnd: boolean } = NONE;
  #sniffEndsAtMs = 0;
  /** What it wrote to the upstream before there was one. */
  #early: readonly Uint8Array[] = [];
  /** Everything that it took went on: it may be left out from here on. */
  #isIntact = true;

  constructor(link: TcpLink, session: TcpSession, line: Line, observer: RunObserver, clock: Clock) {
    this.link = link;
    this.#line = line;
    this.#clock = clock;
    this.#observer = observer;
    this.#session = session;
    this.#run = link.connect(session);
  }

  /** Bytes from a side that wait for a call; a FIN counts as one. */
  waitingBytes(source: Side): number {
    const first = source === "downstream" && this.#isThinking ? this.#first.bytes.length : 0;
    return this.#waitingBytes[source] + first;
  }

  /** Asks the filter about the connection. */
  begin(): void {
    this.#state = "beginning";
    const startedMs = this.#clock.monotonic();
    const { circuit, resting } = this.link;
    const verdict = circuit.allows(startedMs) ? this.#run.begin() : resting;
    this.#settle("connection", verdict, startedMs, (decided) => this.#begun(decided));
  }

  /** Bytes that `source` sent; borrowed ones are valid during the call only. */
  take(source: Side, bytes: Uint8Array, isEnd: boolean, isBorrowed: boolean): void {
    if (this.#state === "stopped") return;
    if (this.#state === "sniffing" && source === "downstream") {
      this.#takeFirst(bytes, isEnd);
      return;
    }
    if (bytes.length <= CHUNK_MAX_BYTES) {
      this.#takePiece({ source, bytes, isEnd }, isBorrowed);
      return;
    }
    for (let at = 0; at < bytes.length; at += CHUNK_MAX_BYTES) {
      const isLast = at + CHUNK_MAX_BYTES >= bytes.length;
      this.#takePiece({ source, bytes: bytes.subarray(at, at + CHUNK_MAX_BYTES), isEnd: isEnd && isLast }, isBorrowed);
    }
  }

  /** `nowMs` is monotonic: first bytes are not waited for longer than the filter's calls may take. */
  sweep(nowMs: number): void {
    if (this.#state === "sniffing" && !this.#isThinking && nowMs >= this.#sniffEndsAtMs) this.#sniff(true);
  }

  /** Nothing is asked any more. */
  stop(): void {
    if (this.#state !== "resting") this.#state = "stopped";
    this.#queue = [];
    this.#first = NONE;
    this.#waitingBytes.downstream = 0;
    this.#waitingBytes.upstream = 0;
  }

  /** The connection is over. Called once. */
  end(): void {
    if (this.#state === "resting") return;
    this.stop();
    const startedMs = this.#clock.monotonic();
    const ended = this.#run.end();
    if (ended instanceof Promise) void ended.then((verdict) => this.#tell("log", verdict, startedMs));
    else if (ended !== undefined) this.#tell("log", ended, startedMs);
  }

  #begun(decided: Proceeding | undefined): void {
    if (decided === undefined) return this.#stream();
    const { watched, written } = decided;
    this.#reads.downstream = watched.includes("downstream");
    this.#reads.upstream = watched.includes("upstream");
    if (!watched.includes("first")) return this.#decided(decided);
    this.#state = "sniffing";
    this.#sniffEndsAtMs = this.#clock.monotonic() + this.#run.deadlineMs;
    this.#early = written.upstream;
    for (const bytes of written.downstream) this.#line.forward(this, "upstream", bytes, false, false);
    if (decided.cluster !== undefined) this.#line.route(decided.cluster);
    const waiting = this.#queue;
    this.#queue = [];
    this.#waitingBytes.downstream = 0;
    for (const { bytes, isEnd } of waiting) this.#takeFirst(bytes, isEnd);
    return undefined;
  }

  #takeFirst(bytes: Uint8Array, isEnd: boolean): void {
    const before = this.#first.bytes;
    this.#first = { bytes: before.length === 0 ? bytes : Buffer.concat([before, bytes]), isEnd };
    if (this.#isThinking) this.#line.moved();
    else this.#sniff(false);
  }

  #sniff(isOverdue: boolean): void {
    const { bytes, isEnd } = this.#first;
    const seen = bytes.subarray(0, FIRST_MAX_BYTES);
    const isLast = isOverdue || isEnd || bytes.length >= FIRST_MAX_BYTES;
    const startedMs = this.#clock.monotonic();
    this.#settle("chunk", this.#run.chunk("downstream", seen, isLast), startedMs, (decided) => {
      if (decided === undefined) return this.#stream();
      if (decided.bytes === "more") {
        if (isLast) return this.#fail("asked for more first bytes, and none will come", () => this.#stream());
        // What came while it thought.
        return this.#first.bytes.length > bytes.length || this.#first.isEnd ? this.#sniff(false) : undefined;
      }
      if (decided.bytes === "drop")
        this.#first = { bytes: this.#first.bytes.subarray(seen.length), isEnd: this.#first.isEnd };
      return this.#decided(decided);
    });
  }

  /** What was decided before there is an upstream. */
  #decided({ cluster, written }: Proceeding): void {
    if (cluster !== undefined) this.#line.route(cluster);
    this.#early = [...this.#early, ...written.upstream];
    for (const bytes of written.downstream) this.#line.forward(this, "upstream", bytes, false, false);
    return this.#stream();
  }

  #stream(): void {
    this.#state = "streaming";
    this.#line.begun(this);
    for (const bytes of this.#early) this.#line.forward(this, "downstream", bytes, false, false);
    this.#early = [];
    const { bytes, isEnd } = this.#first;
    this.#first = NONE;
    const waiting = this.#queue;
    this.#queue = [];
    this.#waitingBytes.downstream = 0;
    if (bytes.length > 0 || isEnd) this.take("downstream", bytes, isEnd, false);
    for (const piece of waiting) this.take(piece.source, piece.bytes, piece.isEnd, false);
    this.#line.moved();
  }

  #takePiece(piece: Piece, isBorrowed: boolean): void {
    const { source, bytes, isEnd } = piece;
    // A side that nobody looks at does not wait for the other one.
    const isFree = !this.#reads[source] && this.#waitingBytes[source] === 0;
    const isReady = isFree || (!this.#isThinking && this.#queue.length === 0);
    if (this.#state === "streaming" && isReady) return this.#handle(piece, isBorrowed);
    if (this.#state === "stopped") return undefined;
    this.#queue.push(isBorrowed ? { source, bytes: copyOf(bytes), isEnd } : piece);
    this.#waitingBytes[source] += Math.max(1, bytes.length);
    if (this.#waitingBytes[source] <= WAITING_MAX_BYTES) return this.#line.moved();
    const message = `more than ${WAITING_MAX_BYTES} bytes came while it was waited for`;
    return this.#line.fail(this, failed(this.link.filter, message).failure);
  }

  #handle(piece: Piece, isBorrowed: boolean): void {
    const { source, bytes, isEnd } = piece;
    if (!this.#reads[source]) return this.#line.forward(this, source, bytes, isEnd, isBorrowed);
    const startedMs = this.#clock.monotonic();
    const verdict = this.#run.chunk(source, bytes, isEnd);
    const mustKeep = isBorrowed && verdict instanceof Promise;
    const kept = mustKeep ? { source, bytes: copyOf(bytes), isEnd } : piece;
    return this.#settle("chunk", verdict, startedMs, (decided) => this.#pass(kept, decided, isBorrowed && !mustKeep));
  }

  #pass({ source, bytes, isEnd }: Piece, decided: Proceeding | undefined, isBorrowed: boolean): void {
    const goOn = (): void => this.#line.forward(this, source, bytes, isEnd, isBorrowed);
    if (decided === undefined) return goOn();
    if (decided.bytes === "more") return this.#fail("asked for more of bytes that are not the first", goOn);
    if (decided.cluster !== undefined) return this.#fail("routes a connection whose upstream is connected", goOn);
    const back = otherSide(source);
    for (const answer of decided.written[source]) this.#line.forward(this, back, answer, false, false);
    if (decided.written[source].length > 0) this.#line.answered(source);
    for (const written of decided.written[back]) this.#line.forward(this, source, written, false, false);
    if (decided.bytes === "pass") return goOn();
    this.#isIntact = false;
    return isEnd ? this.#line.forward(this, source, NO_BYTES, true, false) : undefined;
  }

  /** Acts on a verdict when it is there; `undefined` where the filter failed and is left out. */
  #settle(
    phase: "connection" | "chunk",
    pending: ConnectionVerdict | Promise<ConnectionVerdict>,
    startedMs: number,
    act: (decided: Proceeding | undefined) => void,
  ): void {
    if (!(pending instanceof Promise)) return this.#judge(this.#tell(phase, pending, startedMs), act);
    this.#isThinking = true;
    void pending.then((verdict) => {
      this.#isThinking = false;
      this.#tell(phase, verdict, startedMs);
      if (this.#state === "stopped") return undefined;
      this.#judge(verdict, act);
      return this.#goOn();
    });
    return this.#line.moved();
  }

  #judge(verdict: ConnectionVerdict, act: (decided: Proceeding | undefined) => void): void {
    switch (verdict.kind) {
      case "proceed":
        return act(verdict);
      case "close":
        return this.#line.close(this, verdict);
      case "failed": {
        // What it kept back or changed cannot be made up for.
        const mayBeLeftOut = this.link.filter.failurePolicy === "open" && this.#isIntact;
        if (!mayBeLeftOut) return this.#line.fail(this, verdict.failure);
        this.#reads.downstream = false;
        this.#reads.upstream = false;
        return act(undefined);
      }
    }
  }

  /** What waited. */
  #goOn(): void {
    while (this.#state === "streaming" && !this.#isThinking) {
      const piece = this.#queue.shift();
      if (piece === undefined) break;
      this.#waitingBytes[piece.source] -= Math.max(1, piece.bytes.length);
      this.#handle(piece, false);
    }
    this.#line.moved();
  }

  #fail(message: string, act: () => void): void {
    this.#judge(failed(this.link.filter, message), act);
  }

  #tell(phase: FilterRun["phase"], verdict: ConnectionVerdict, startedMs: number): ConnectionVerdict {
    const { filter, circuit } = this.link;
    const nowMs = this.#clock.monotonic();
    const hasFailed = verdict.kind === "failed";
    const isCancelled = hasFailed && this.#state === "stopped" && phase !== "log";
    const fuel = verdict === this.link.resting ? 0 : this.#run.fuelUsed;
    this.#observer.filterRan({
      filter: filter.name,
      phase,
      outcome: isCancelled ? "cancelled" : verdict.kind,
      failure: hasFailed ? verdict.failure : undefined,
      fuel,
      tookMs: nowMs - startedMs,
    });
    if (fuel > 0) charge(this.#session, filter.name, fuel, nowMs - startedMs);
    if (verdict === this.link.resting) return verdict;
    const changed = isCancelled ? circuit.forget() : circuit.record(hasFailed, nowMs);
    if (changed !== undefined) this.#observer.circuitChanged(filter.name, changed);
    return verdict;
  }
}

function failed({ name }: Filter, message: string): Extract<ConnectionVerdict, { kind: "failed" }> {
  return { kind: "failed", failure: failure("filter_failed", `filter ${name}: ${message}`) };
}

/** Not `slice`, which of a Buffer is the same memory. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function otherSide(side: Side): Side {
  return side === "downstream" ? "upstream" : "downstream";
}
