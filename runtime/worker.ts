// THE MAP of one worker: the data path of a proxy, told what to run and asked about it by its supervisor.
import type { Logger } from "pino";
import { z } from "zod";
import type { Bootstrap } from "./bootstrap.ts";
import type { Problem } from "./contract/problem.ts";
import type { Told } from "./contract/protocol.ts";
import { assembleDataPath, type Ambient, type DataPath } from "./data-path.ts";
import { doorsOf } from "./doors.ts";
import type { Door, Prepared } from "./serving.ts";
import { fileSource } from "./source.ts";
import { MappedMemory, PrivateMemory } from "./host/shared-memory.ts";
import { closeFd, duplicate, setParentDeathSignal } from "./supervisor/libc.ts";
import { openLink, type Link } from "./supervisor/link.ts";
import { Assignment, PROTOCOL, type Order, type Report } from "./supervisor/messages.ts";

/** The supervisor ends a worker that did not say for ten seconds that its event loop turns. */
const BEAT_MS = 500;
/** How long the last word may take to reach the supervisor. */
const FAREWELL_MS = 1000;
/** Sockets are inherited from here on. */
const FIRST_FD = 3;
const SIGTERM = 15;

/** What a worker is told when it starts. Its supervisor has checked it. */
const Given = Assignment.extend({ bootstrap: z.custom<Bootstrap>() });
export type Given = z.infer<typeof Given>;

/** Reads the variable that makes a process a worker. Throws on what no supervisor of ours wrote. */
export function readAssignment(text: string): Given {
  return Given.parse(JSON.parse(text));
}

/** A running worker. It ends the process itself. */
export interface RunningWorker {
  /** Accepts no more, finishes what it has, and ends the process with 0. */
  drain(): void;
}

/** Connects to the supervisor and does as it says. */
export function startWorker(given: Given, log: Logger, ambient: Ambient): RunningWorker {
  // Whatever happens to the supervisor, no worker stays behind: it drains, as by SIGTERM.
  setParentDeathSignal(SIGTERM);
  if (process.ppid !== given.supervisorPid) process.exit(1);
  return new Worker(given, log, ambient);
}

class Worker implements RunningWorker {
  readonly #given: Given;
  readonly #log: Logger;
  readonly #link: Link;
  readonly #path: DataPath | undefined;
  readonly #problems: readonly Problem[];
  readonly #prepared = new Map<number, Prepared>();
  readonly #beat: ReturnType<typeof setInterval>;
  #rows: readonly number[] = [];
  #hasReleased = false;
  #isDraining = false;
  #isEnding = false;

  constructor(given: Given, log: Logger, ambient: Ambient) {
    this.#given = given;
    this.#log = log;
    const { bootstrap } = given;
    const fetchFile = fileSource(bootstrap, log, ambient);
    const tell = (told: Told): boolean => {
      this.#link.send({ kind: "told", told });
      return true;
    };
    const sharedMemory =
      given.shared === undefined ? new PrivateMemory() : new MappedMemory(`/proc/self/fd/${given.shared}`);
    const path = assembleDataPath({ bootstrap, log, fetchFile, isAlone: false, tell, sharedMemory, ...ambient });
    this.#path = path.ok ? path.value : undefined;
    this.#problems = path.ok ? [] : path.problems;
    this.#link = openLink({
      name: given.channel,
      pid: given.supervisorPid,
      hello: () => this.#hello(),
      heard: (order) => this.#obey(order),
      lost: () => {
        log.error("the supervisor is gone: draining");
        this.drain();
      },
      now: () => ambient.clock.monotonic(),
    });
    this.#beat = setInterval(() => this.#link.send({ kind: "beat" }), BEAT_MS);
  }

  drain(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#link.send({ kind: "draining" });
    void this.#end();
  }

  #hello(): Report {
    const { crew, slot, token } = this.#given;
    const version = this.#path?.config().version;
    if (this.#problems.length > 0) {
      // After the hello, so that the supervisor knows whose problems these are.
      queueMicrotask(() => this.#link.send({ kind: "failed", problems: [...this.#problems] }));
    }
    return {
      kind: "hello",
      protocol: PROTOCOL,
      token,
      pid: process.pid,
      crew,
      slot,
      ...(version === undefined ? {} : { version }),
      rows: [...this.#rows],
      isDraining: this.#isDraining,
    };
  }

  #obey(order: Order): void {
    switch (order.kind) {
      case "prepare":
        void this.#prepare(order);
        return;
      case "commit":
        this.#prepared.get(order.id)?.commit();
        this.#prepared.delete(order.id);
        return this.#link.send({ kind: "committed", id: order.id });
      case "discard":
        this.#prepared.get(order.id)?.discard();
        this.#prepared.delete(order.id);
        return undefined;
      case "serve":
        return this.#serve(order.rows);
      case "ask":
        return this.#link.send({ kind: "answer", id: order.id, text: this.#answer(order.about) });
      case "taps":
        return this.#path?.setTaps(order.taps);
      case "release":
        this.#release();
        return this.#link.send({ kind: "released" });
      case "drain":
        this.#stopAccepting();
        if (!order.exits || this.#isEnding) return undefined;
        this.#isEnding = true;
        void this.#end();
        return undefined;
    }
  }

  async #prepare({ id, version, snapshot, at }: Extract<Order, { kind: "prepare" }>): Promise<void> {
    const problems = await this.#build(id, version, snapshot, at);
    this.#link.send({ kind: "prepared", id, problems: [...problems] });
  }

  async #build(
    id: number,
    version: Extract<Order, { kind: "prepare" }>["version"],
    snapshot: string,
    at: string,
  ): Promise<readonly Problem[]> {
    try {
      const prepared = await this.#path?.prepare(JSON.parse(snapshot), version, at);
      if (prepared === undefined) return this.#problems;
      if (!prepared.ok) return prepared.problems;
      this.#prepared.set(id, prepared.value);
      return [];
    } catch (error) {
      // Nested too deep to be walked, or a bug: it costs this snapshot.
      return [{ path: at, message: `could not be applied: ${String(error)}` }];
    }
  }

  #serve(rows: readonly number[]): void {
    const serving = this.#path?.serving;
    if (serving === undefined || this.#isDraining || this.#hasReleased) return;
    const added = rows.filter((row) => !this.#rows.includes(row));
    const doors = doorsOf(this.#given.bootstrap).flatMap((door, index) =>
      added.map((row) => this.#doorAt(door, index, row)),
    );
    const problems = serving.open(doors);
    if (problems.length > 0) return this.#link.send({ kind: "failed", problems: [...problems] });
    serving.close(({ row }) => row !== undefined && !rows.includes(row));
    this.#rows = rows;
    return this.#link.send({ kind: "serving", rows: [...rows] });
  }

  #doorAt(door: Door, index: number, row: number): Door {
    const inherited = FIRST_FD + index * this.#given.rows + row;
    return { ...door, port: this.#given.ports[index] ?? door.port, fd: duplicate(inherited), row };
  }

  #answer(about: Extract<Order, { kind: "ask" }>["about"]): string {
    if (this.#path === undefined) return "";
    switch (about) {
      case "stats":
        return this.#path.stats();
      case "clusters":
        return this.#path.clusters();
      case "config":
        return JSON.stringify(this.#path.config());
    }
  }

  #release(): void {
    if (this.#hasReleased) return;
    this.#hasReleased = true;
    const count = this.#given.ports.length * this.#given.rows;
    for (let fd = FIRST_FD; fd < FIRST_FD + count; fd++) closeFd(fd);
  }

  #stopAccepting(): void {
    this.#isDraining = true;
    this.#path?.serving.startDraining();
    this.#release();
  }

  async #end(): Promise<void> {
    this.#stopAccepting();
    await this.#path?.serving.drained(this.#given.bootstrap.drainTimeMs);
    clearInterval(this.#beat);
    this.#path?.stop();
    this.#link.send({ kind: "bye", stats: this.#path?.stats() ?? "" });
    for (let waitedMs = 0; !this.#link.isIdle && waitedMs < FAREWELL_MS; waitedMs += 10) await Bun.sleep(10);
    this.#log.flush();
    process.exit(0);
  }
}
