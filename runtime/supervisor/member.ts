// One worker, as its supervisor sees it: a process, what it said last, and what it owes an answer to.
import type { Problem } from "../contract/problem.ts";
import type { Version } from "../contract/snapshot.ts";
import type { Channel } from "./channel.ts";
import type { Order, Report, Topic } from "./messages.ts";

/** How a process ended. */
export interface Ending {
  readonly exitCode: number | null;
  /** Its name (`SIGKILL`) where one ended it. */
  readonly signal: string | null;
}

/** A process, started or taken over. */
export interface WorkerProcess {
  readonly pid: number;
  readonly ended: Promise<Ending>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

/**
 * `starting`: said nothing yet. `joined`: is heard of, and runs no snapshot that is to be served. `serving`: runs the current
 * one and has ports. `leaving`: finishes what it has. `gone`: ended.
 */
export type MemberState = "starting" | "joined" | "serving" | "leaving" | "gone";

/** A snapshot on its way to the workers. */
export interface Plan {
  readonly version: Version;
  /** JSON. */
  readonly snapshot: string;
  /** Where paths of problems start. */
  readonly at: string;
}

type Answer = Extract<Report, { readonly id: number }>;

interface Waiting {
  readonly resolve: (answer: Answer | undefined) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class Member {
  readonly process: WorkerProcess;
  /** Workers of one version of the program; a hot restart starts the next crew. */
  readonly crew: number;
  readonly slot: number;
  readonly startedAtMs: number;
  state: MemberState = "starting";
  /** When its event loop was last known to turn, monotonic. */
  heardAtMs: number;
  /** Its event loop does not turn: nothing new is given to it. */
  isStalled = false;
  /** It holds no socket but those that it accepts from. */
  hasReleased = false;
  /** Monotonic; a worker that drains and has not ended by then is ended. */
  endsByMs: number | undefined = undefined;
  /** Rows that it was told to accept from, and those that it does. */
  wantedRows: readonly number[] = [];
  rows: readonly number[] = [];
  /** Its last scrape. */
  stats = "";
  #channel: Channel | undefined = undefined;
  #nextId = 1;
  readonly #waiting = new Map<number, Waiting>();

  constructor(process: WorkerProcess, crew: number, slot: number, nowMs: number) {
    this.process = process;
    this.crew = crew;
    this.slot = slot;
    this.startedAtMs = nowMs;
    this.heardAtMs = nowMs;
  }

  /** For the log and for problems. */
  get name(): string {
    return `worker ${this.slot}`;
  }

  get isConnected(): boolean {
    return this.#channel !== undefined;
  }

  /** It may be given snapshots. */
  get isLive(): boolean {
    return this.#channel !== undefined && (this.state === "joined" || this.state === "serving");
  }

  connect(channel: Channel): void {
    this.#channel = channel;
  }

  /** Its connection ended, unless it has another by now: whatever it owed will not come. */
  disconnect(channel = this.#channel): void {
    if (channel !== this.#channel) return;
    this.#channel = undefined;
    for (const id of this.#waiting.keys()) this.#settle(id, undefined);
  }

  send(order: Order): void {
    this.#channel?.send(order);
  }

  /** Takes an answer to what was asked. */
  answered(answer: Answer): void {
    this.#settle(answer.id, answer);
  }

  /** Builds a generation there. `undefined`: it ended, or took longer than `withinMs`. */
  async prepare(
    plan: Plan,
    withinMs: number,
  ): Promise<{ readonly id: number; readonly problems: readonly Problem[] } | undefined> {
    const answer = await this.#call((id) => ({ kind: "prepare", id, ...plan }), withinMs);
    return answer?.kind === "prepared" ? { id: answer.id, problems: answer.problems } : undefined;
  }

  /** Resolves once it swapped, or will not. */
  async commit(id: number, withinMs: number): Promise<boolean> {
    return (await this.#call(() => ({ kind: "commit", id }), withinMs, id))?.kind === "committed";
  }

  discard(id: number): void {
    this.send({ kind: "discard", id });
  }

  async ask(about: Topic, withinMs: number): Promise<string | undefined> {
    const answer = await this.#call((id) => ({ kind: "ask", id, about }), withinMs);
    return answer?.kind === "answer" ? answer.text : undefined;
  }

  #call(order: (id: number) => Order, withinMs: number, id: number = this.#nextId++): Promise<Answer | undefined> {
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    if (this.#channel === undefined) return Promise.resolve(undefined);
    const timer = setTimeout(() => this.#settle(id, undefined), withinMs);
    this.#waiting.set(id, { resolve, timer });
    this.send(order(id));
    return promise;
  }

  #settle(id: number, answer: Answer | undefined): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    waiting.resolve(answer);
  }
}
