// Finished exchanges on their way to a receiver: gathered, sent one batch at a time, tried again where the receiver is away.
// What the queue cannot hold is dropped and counted: telling never delays what is told of.
import type { ReportBatch } from "../contract/adapter.ts";
import type { AdapterObserver } from "../exchange/adapter-observer.ts";
import type { Schedule } from "../exchange/exchange.ts";

/** How a batch went. */
export type Sent =
  | { readonly kind: "sent" }
  /** Not now: the same batch is tried again. */
  | { readonly kind: "retry"; readonly message: string }
  /** Never: the batch is dropped. */
  | { readonly kind: "refused"; readonly message: string };

export const SENT: Sent = { kind: "sent" };

/** What a batcher works with. */
export interface BatcherParts<Entry> {
  readonly adapter: string;
  readonly policy: ReportBatch;
  /** Bytes that an entry takes, roughly. */
  readonly sizeOf: (entry: Entry) => number;
  /** Sends a batch; never rejects. */
  readonly send: (entries: readonly Entry[]) => Promise<Sent>;
  readonly schedule: Schedule;
  readonly observer: AdapterObserver;
}

const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 30_000;

interface Batch<Entry> {
  readonly entries: Entry[];
  bytes: number;
}

export class Batcher<Entry> {
  readonly #parts: BatcherParts<Entry>;
  /** The oldest first; the last is the one that gathers. */
  #batches: Batch<Entry>[] = [];
  #length = 0;
  #bytes = 0;
  #sending: Promise<boolean> | undefined = undefined;
  #stopTimer: (() => void) | undefined = undefined;
  #isBackingOff = false;
  #retryMs = RETRY_MIN_MS;
  #isStopped = false;

  constructor(parts: BatcherParts<Entry>) {
    this.#parts = parts;
  }

  /** Keeps an entry, or drops and counts it. */
  add(entry: Entry): void {
    const { adapter, policy, sizeOf, observer } = this.#parts;
    const bytes = sizeOf(entry);
    const isFull = this.#length >= policy.queueMax || this.#bytes + bytes > policy.queueMaxBytes;
    if (isFull || this.#isStopped) return observer.dropped(adapter, 1, this.#isStopped ? "stopped" : "full");
    let last = this.#batches.at(-1);
    if (last === undefined || this.#isWhole(last)) {
      last = { entries: [], bytes: 0 };
      this.#batches.push(last);
    }
    last.entries.push(entry);
    last.bytes += bytes;
    this.#count(1, bytes);
    if (this.#isWhole(last)) this.#sendNext();
    else if (this.#sending === undefined) this.#wait();
    return undefined;
  }

  /** Sends everything, each batch once; what is not taken then is dropped. */
  async flush(): Promise<void> {
    this.#callOff();
    await this.#sending;
    let isTaken = true;
    // One after the other, in their order.
    // oxlint-disable-next-line no-await-in-loop
    while (isTaken && this.#batches.length > 0) isTaken = await this.#sendFirst();
    this.#callOff();
    this.#dropAll();
  }

  /** Takes no more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.flush();
  }

  #isWhole({ entries, bytes }: Batch<Entry>): boolean {
    const { entriesMax, bytesMax } = this.#parts.policy;
    return entries.length >= entriesMax || bytes >= bytesMax;
  }

  #count(entries: number, bytes: number): void {
    this.#length += entries;
    this.#bytes += bytes;
    this.#parts.observer.queueChanged(this.#parts.adapter, this.#length);
  }

  /** For the age of what gathers. */
  #wait(): void {
    this.#stopTimer ??= this.#parts.schedule(() => {
      this.#stopTimer = undefined;
      this.#sendNext();
    }, this.#parts.policy.ageMs);
  }

  #sendNext(): void {
    if (this.#sending !== undefined || this.#isBackingOff || this.#batches.length === 0) return;
    this.#callOff();
    void this.#sendFirst().then((isTaken) => this.#goOn(isTaken));
  }

  #goOn(isTaken: boolean): void {
    const [first] = this.#batches;
    if (this.#isStopped || first === undefined) return;
    if (!isTaken) this.#backOff();
    else if (this.#isWhole(first)) this.#sendNext();
    else this.#wait();
  }

  /** Whether the oldest batch is off the queue. */
  #sendFirst(): Promise<boolean> {
    const [batch] = this.#batches;
    if (batch === undefined) return Promise.resolve(true);
    // What comes now goes into another: a batch that is tried again is the same one.
    if (this.#batches.length === 1) this.#batches.push({ entries: [], bytes: 0 });
    const sending = this.#parts.send(batch.entries).then((sent) => {
      this.#sending = undefined;
      return this.#settle(batch, sent);
    });
    this.#sending = sending;
    return sending;
  }

  #settle(batch: Batch<Entry>, sent: Sent): boolean {
    const { adapter, observer } = this.#parts;
    if (sent.kind !== "sent") observer.sendFailed(adapter, sent.message);
    if (sent.kind === "retry") return false;
    this.#retryMs = RETRY_MIN_MS;
    this.#batches.shift();
    if (this.#batches[0]?.entries.length === 0) this.#batches.shift();
    if (sent.kind === "sent") observer.sent(adapter, batch.entries.length);
    else observer.dropped(adapter, batch.entries.length, "refused");
    this.#count(-batch.entries.length, -batch.bytes);
    return true;
  }

  #backOff(): void {
    this.#callOff();
    this.#isBackingOff = true;
    this.#stopTimer = this.#parts.schedule(() => {
      this.#stopTimer = undefined;
      this.#isBackingOff = false;
      this.#sendNext();
    }, this.#retryMs);
    this.#retryMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2);
  }

  /** No timer is due any more. */
  #callOff(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#isBackingOff = false;
  }

  #dropAll(): void {
    const { adapter, observer } = this.#parts;
    if (this.#length > 0) observer.dropped(adapter, this.#length, "stopped");
    this.#batches = [];
    this.#count(-this.#length, -this.#bytes);
  }
}
