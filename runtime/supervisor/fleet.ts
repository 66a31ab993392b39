// All workers of a proxy. The fleet decides who starts, who is given what and who accepts from which sockets; processes,
// sockets and snapshots come from outside.
import type { Problem } from "../contract/problem.ts";
import type { Told } from "../contract/protocol.ts";
import type { Tap } from "../contract/tap.ts";
import type { Clock, Random } from "../exchange/exchange.ts";
import { Crew, renderEnding } from "./crew.ts";
import { Member, type Ending, type Plan, type WorkerProcess } from "./member.ts";
import { PROTOCOL, type Report, type Topic } from "./messages.ts";
import { PREPARE_WITHIN_MS, rollOut } from "./roll-out.ts";
import { planRows } from "./rows.ts";

/** How often workers are looked after. Each says twice a second that its event loop turns. */
export const TICK_MS = 250;
/** A worker that was silent for this long is given no more connections; another looks after its sockets. */
const STALLED_AFTER_MS = 1500;
/** And for this long, it is ended and replaced. */
const HUNG_AFTER_MS = 10_000;
/** From its start to its first word. */
const START_WITHIN_MS = 30_000;
/** A worker that does not end by itself after its drain time is ended. */
const DRAIN_GRACE_MS = 5000;
/** One question to a worker; one that does not answer is told of by what it said last. */
const ASK_WITHIN_MS = 1000;
/** Before a crew was complete once, so many ends in a row are a program that cannot start. */
const START_FAILURES_MAX = 3;
/** Before draining, workers let go of each other's sockets; one that is stalled is not waited for. */
const RELEASE_WITHIN_MS = 500;

/** Where lines for the operator go; a pino logger fits. */
export interface FleetLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface FleetOptions {
  readonly start: (crew: number, slot: number) => WorkerProcess;
  /** A worker is gone for good, with what it counted last (and last said of it). */
  readonly retired: (member: Member) => void;
  /** A worker tells control something. */
  readonly told: (told: Told) => void;
  /** Nobody is to be given sockets any more: the supervisor lets go of its own. */
  readonly closePorts: () => void;
  readonly drainTimeMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: FleetLog;
}

/** What a status page shows of a worker. */
export interface MemberStatus {
  readonly slot: number;
  readonly crew: number;
  readonly pid: number;
  readonly state: string;
  readonly rows: readonly number[];
}

export class Fleet {
  readonly #options: FleetOptions;
  readonly #clock: Clock;
  #crew: Crew | undefined = undefined;
  /** A new version of the program, until all of it serves. */
  #next: Crew | undefined = undefined;
  readonly #leaving = new Set<Member>();
  #current: Plan | undefined = undefined;
  #crewId = 0;
  #restartsBefore = 0;
  #taps: readonly Tap[] = [];
  #isDraining = false;
  #tickedAtMs: number;
  /** Asked again at every change: waits that end when it holds. */
  readonly #waits = new Set<() => void>();
  #startProblems: readonly Problem[] = [];

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#tickedAtMs = this.#clock.monotonic();
  }

  get isReady(): boolean {
    return !this.#isDraining && this.#serving.length > 0 && (this.#crew?.wasComplete ?? false);
  }

  /** What every worker runs. */
  get current(): Plan | undefined {
    return this.#current;
  }

  /** Starts of workers beyond the first of each. */
  get restarts(): number {
    return this.#restartsBefore + (this.#crew?.restarts ?? 0) + (this.#next?.restarts ?? 0);
  }

  get status(): readonly MemberStatus[] {
    return this.#all.map(({ slot, crew, process, state, rows, isStalled }) => ({
      slot,
      crew,
      pid: process.pid,
      state: isStalled ? "stalled" : state,
      rows,
    }));
  }

  /** What the next version of the program has to know of the workers. */
  get crew(): { readonly id: number; readonly slots: number; readonly rowCount: number } {
    return { id: this.#crew?.id ?? 0, slots: this.#crew?.slots ?? 0, rowCount: this.#crew?.rowCount ?? 0 };
  }

  /** A new crew is not complete yet. */
  get isReplacing(): boolean {
    return this.#next !== undefined;
  }

  get members(): readonly Member[] {
    return this.#all;
  }

  /** Starts the first crew. */
  start(slots: number, rowCount: number): void {
    this.#crew = this.#newCrew(slots, rowCount);
    this.#crew.start();
  }

  /** Takes over workers of the version of the program before, which serve `current`. */
  adopt(before: Before, members: readonly Adopted[]): void {
    this.#crewId = before.crew - 1;
    this.#current = before.current;
    this.#restartsBefore = before.restarts;
    this.#crew = this.#newCrew(before.slots, before.rowCount);
    for (const { process, slot, crew, isLeaving, stats } of members) {
      const member = this.#newMember(process, crew, slot);
      member.stats = stats;
      if (isLeaving || crew !== before.crew) this.#leave(member);
      else this.#crew.adopt(member);
    }
    this.#crew.wasComplete = true;
    this.#crew.start();
  }

  /** Settles when the crew that was started last is complete, or cannot be. */
  async complete(): Promise<readonly Problem[]> {
    const crew = this.#next ?? this.#crew;
    await this.#until(() => crew?.wasComplete === true || this.#startProblems.length > 0 || this.#isDraining);
    return this.#startProblems;
  }

  /**
   * Starts workers of the program as it is now beside those that serve. Once all of them can serve, they do, and those
   * before finish what they have; where they cannot, those before go on.
   */
  async replace(slots: number, rowCount: number): Promise<readonly Problem[]> {
    const next = this.#newCrew(slots, rowCount);
    this.#next = next;
    this.#startProblems = [];
    next.start();
    const problems = await this.complete();
    if (problems.length > 0 || this.#isDraining) {
      next.close();
      for (const member of next.members) member.process.kill("SIGKILL");
      this.#restartsBefore += next.restarts;
      this.#next = undefined;
      this.#startProblems = [];
      return problems;
    }
    await this.#until(() => next.members.every(({ rows }) => rows.length > 0) || this.#isDraining);
    const before = this.#crew;
    this.#restartsBefore += before?.restarts ?? 0;
    before?.close();
    this.#crew = next;
    this.#next = undefined;
    for (const member of before?.members ?? []) this.#drainMember(member, true);
    return [];
  }

  /** Gives every worker a snapshot, or none. Waits for one worker to be there. */
  async apply(plan: Plan): Promise<readonly Problem[]> {
    if (plan.version === this.#current?.version) return [];
    await this.#until(() => this.#recipients.length > 0 || this.#startProblems.length > 0 || this.#isDraining);
    return rollOut(plan, {
      recipients: () => this.#recipients,
      decided: () => (this.#current = plan),
    });
  }

  /** Filters that are looked at from now on, in every worker that is there and those that come. */
  setTaps(taps: readonly Tap[]): void {
    if (taps.length === 0 && this.#taps.length === 0) return;
    this.#taps = taps;
    for (const member of this.#all) member.send({ kind: "taps", taps: [...taps] });
  }

  /** Asks every worker that serves or leaves. One that does not answer in time is left out. */
  async ask(about: Topic): Promise<readonly { readonly member: Member; readonly text: string }[]> {
    const answers = await Promise.all(
      this.#all.map(async (member) => ({
        member,
        text: member.isStalled ? undefined : await member.ask(about, ASK_WITHIN_MS),
      })),
    );
    return answers.flatMap(({ member, text }) => (text === undefined ? [] : [{ member, text }]));
  }

  /** Who says hello: one that was started or taken over. */
  find(pid: number): Member | undefined {
    return this.#all.find(({ process }) => process.pid === pid);
  }

  /** A worker is connected, for the first time or again. */
  greeted(member: Member, hello: Extract<Report, { kind: "hello" }>): void {
    member.heardAtMs = this.#clock.monotonic();
    member.rows = hello.rows;
    if (this.#taps.length > 0) member.send({ kind: "taps", taps: [...this.#taps] });
    if (hello.protocol !== PROTOCOL) {
      this.#options.log.warn({ worker: member.slot, pid: member.process.pid }, "a worker of another version drains");
      member.process.kill("SIGTERM");
      this.#leave(member);
    } else if (this.#isDraining) this.#drainMember(member, true);
    else if (hello.isDraining) this.#leave(member);
    else if (hello.version !== undefined && hello.version === this.#current?.version) member.state = "serving";
    else {
      member.state = "joined";
      void this.#bringUp(member);
    }
    this.#changed();
  }

  heard(member: Member, report: Report): void {
    member.heardAtMs = this.#clock.monotonic();
    if (member.isStalled) {
      member.isStalled = false;
      this.#changed();
    }
    switch (report.kind) {
      case "prepared":
      case "answer":
        return member.answered(report);
      case "committed":
        if (member.state === "joined") member.state = "serving";
        member.answered(report);
        return this.#changed();
      case "serving":
        member.rows = report.rows;
        return this.#changed();
      case "failed":
        return this.#failed(member, report.problems);
      case "draining":
        this.#leave(member);
        this.#crew?.release(member);
        this.#next?.release(member);
        return this.#changed();
      case "bye":
        member.stats = report.stats;
        return undefined;
      case "released":
        member.hasReleased = true;
        return this.#changed();
      case "told":
        return this.#options.told(report.told);
      case "hello":
      case "beat":
        return undefined;
    }
  }

  /** Called every `TICK_MS`: who is silent for too long is passed over, then ended. */
  tick(): void {
    const nowMs = this.#clock.monotonic();
    const lateMs = nowMs - this.#tickedAtMs - TICK_MS;
    this.#tickedAtMs = nowMs;
    for (const member of this.#all) {
      // The supervisor itself, or the machine, stood still: nobody could be heard.
      if (lateMs > TICK_MS) member.heardAtMs = Math.max(member.heardAtMs, nowMs - TICK_MS);
      this.#look(member, nowMs - member.heardAtMs);
    }
  }

  /** Accepts no more. With `exits` workers end when they have finished, and this resolves when all have. */
  async drain(exits: boolean): Promise<void> {
    this.#isDraining = true;
    this.#crew?.close();
    this.#next?.close();
    const connected = this.#all.filter(({ isConnected }) => isConnected);
    for (const member of connected) {
      member.hasReleased = false;
      member.send({ kind: "release" });
    }
    const deadlineMs = this.#clock.monotonic() + RELEASE_WITHIN_MS;
    await this.#until(() => connected.every(({ state, hasReleased }) => state === "gone" || hasReleased), deadlineMs);
    this.#options.closePorts();
    for (const member of this.#all) this.#drainMember(member, exits);
    this.#changed();
    if (exits) await this.#until(() => this.#all.length === 0);
  }

  /** Ends everything now. */
  async stop(): Promise<void> {
    this.#isDraining = true;
    this.#crew?.close();
    this.#next?.close();
    this.#options.closePorts();
    for (const member of this.#all) member.process.kill("SIGKILL");
    await this.#until(() => this.#all.length === 0);
  }

  get #all(): readonly Member[] {
    return [...new Set([...(this.#crew?.members ?? []), ...(this.#next?.members ?? []), ...this.#leaving])];
  }

  get #serving(): readonly Member[] {
    return [...(this.#crew?.members ?? []), ...(this.#next?.members ?? [])].filter(({ state }) => state === "serving");
  }

  get #recipients(): readonly Member[] {
    return [...(this.#crew?.members ?? []), ...(this.#next?.members ?? [])].filter(({ isLive }) => isLive);
  }

  #newCrew(slots: number, rowCount: number): Crew {
    this.#crewId++;
    const id = this.#crewId;
    const start = (slot: number): Member => this.#newMember(this.#options.start(id, slot), id, slot);
    return new Crew({ id, slots, rowCount, start, random: this.#options.random });
  }

  #newMember(process: WorkerProcess, crew: number, slot: number): Member {
    const member = new Member(process, crew, slot, this.#clock.monotonic());
    void process.ended.then((ending) => this.#ended(member, ending));
    return member;
  }

  #ended(member: Member, ending: Ending): void {
    const wasLeaving = member.state === "leaving";
    member.state = "gone";
    member.disconnect();
    this.#options.retired(member);
    const crew = [this.#crew, this.#next].find((each) => each?.id === member.crew);
    const restartInMs = crew?.ended(member, this.#clock.monotonic());
    this.#leaving.delete(member);
    const fields = { worker: member.slot, pid: member.process.pid, ...ending };
    if (wasLeaving) this.#options.log.info(fields, "a worker has drained");
    else if (restartInMs === undefined) {
      // Where all are ended it is no news, least of all before the reason why nothing starts.
      if (!this.#isDraining) this.#options.log.info(fields, "a worker ended");
    } else {
      this.#options.log.warn({ ...fields, restartInMs: Math.round(restartInMs) }, `a worker ${renderEnding(ending)}`);
    }
    if (crew !== undefined && !crew.wasComplete && crew.failures >= START_FAILURES_MAX) {
      const message = `${member.name} ${renderEnding(ending)}, ${crew.failures} times before it served`;
      this.#startProblems = [{ path: "concurrency", message }];
    }
    this.#changed();
  }

  #failed(member: Member, problems: readonly Problem[]): void {
    this.#options.log.error({ worker: member.slot, problems }, "a worker cannot work");
    const crew = [this.#crew, this.#next].find((each) => each?.id === member.crew);
    if (crew?.wasComplete === false) this.#startProblems = problems;
    member.process.kill("SIGKILL");
    this.#changed();
  }

  /** Gives a worker that came what the others run. */
  async #bringUp(member: Member): Promise<void> {
    for (;;) {
      const plan = this.#current;
      // The first snapshot has yet to come: it will be rolled out to all.
      if (plan === undefined) return;
      const answer = await member.prepare(plan, PREPARE_WITHIN_MS);
      if (!member.isLive) return;
      if (answer !== undefined && answer.problems.length === 0) {
        if (plan === this.#current) return void member.commit(answer.id, PREPARE_WITHIN_MS);
        member.discard(answer.id);
      } else return this.#failed(member, answer?.problems ?? [{ path: "", message: "building took too long" }]);
    }
  }

  #look(member: Member, silentMs: number): void {
    const { log } = this.#options;
    const who = { worker: member.slot, pid: member.process.pid };
    if (member.state === "leaving") {
      if (member.endsByMs !== undefined && member.endsByMs < this.#clock.monotonic()) member.process.kill("SIGKILL");
      return;
    }
    const boundMs = member.state === "starting" ? START_WITHIN_MS : HUNG_AFTER_MS;
    if (silentMs > boundMs) {
      log.error({ ...who, silentMs: Math.round(silentMs) }, "a worker hangs: it is ended");
      member.heardAtMs = this.#clock.monotonic();
      member.process.kill("SIGKILL");
    } else if (member.state !== "starting" && !member.isStalled && silentMs > STALLED_AFTER_MS) {
      log.warn({ ...who, silentMs: Math.round(silentMs) }, "a worker is silent: others look after its sockets");
      member.isStalled = true;
      this.#changed();
    }
  }

  #leave(member: Member, exits = true): void {
    member.state = "leaving";
    if (exits) member.endsByMs ??= this.#clock.monotonic() + this.#options.drainTimeMs + DRAIN_GRACE_MS;
    this.#leaving.add(member);
  }

  #drainMember(member: Member, exits: boolean): void {
    const wasLeaving = member.state === "leaving";
    this.#leave(member, exits);
    if (member.isConnected) member.send({ kind: "drain", exits });
    else if (!wasLeaving) member.process.kill("SIGTERM");
  }

  /** Something changed: completeness, who accepts what, and whoever waits are looked at again. */
  #changed(): void {
    for (const crew of [this.#crew, this.#next]) if (crew?.isComplete === true) crew.wasComplete = true;
    if (!this.#isDraining) this.#assignRows();
    for (const check of this.#waits) check();
  }

  #assignRows(): void {
    const crew = this.#next?.wasComplete === true ? this.#next : this.#crew;
    if (crew?.wasComplete !== true) return;
    const acceptors = crew.members.filter(({ state, isStalled }) => state === "serving" && !isStalled);
    for (const [member, rows] of planRows(crew.rowCount, acceptors)) {
      if (isSame(rows, member.wantedRows)) continue;
      member.wantedRows = rows;
      member.send({ kind: "serve", rows: [...rows] });
    }
  }

  async #until(holds: () => boolean, deadlineMs?: number): Promise<void> {
    if (holds()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer =
      deadlineMs === undefined ? undefined : setTimeout(resolve, Math.max(0, deadlineMs - this.#clock.monotonic()));
    const check = (): void => void (holds() && resolve());
    this.#waits.add(check);
    await promise;
    this.#waits.delete(check);
    clearTimeout(timer);
  }
}

/** A worker that a version of the program before this one started. */
export interface Adopted {
  readonly process: WorkerProcess;
  readonly crew: number;
  readonly slot: number;
  readonly isLeaving: boolean;
  readonly stats: string;
}

/** What those workers belonged to. */
export interface Before {
  readonly crew: number;
  readonly slots: number;
  readonly rowCount: number;
  readonly restarts: number;
  readonly current?: Plan | undefined;
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}
