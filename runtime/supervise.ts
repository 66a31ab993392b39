// THE MAP of a proxy of several workers: the supervisor holds the sockets, the admin port and the control connection; workers
// serve. It loads nothing of the data path, and carries no request.
import type { Logger } from "pino";
import { startAdmin, type AdminServer } from "./admin/admin.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { renderProblem, type Parsed, type Problem } from "./contract/problem.ts";
import type { Version } from "./contract/snapshot.ts";
import type { Tap } from "./contract/tap.ts";
import { versionOf } from "./contract/version.ts";
import type { Ambient } from "./data-path.ts";
import { doorsOf } from "./doors.ts";
import type { Direction } from "./exchange/exchange.ts";
import { SHARED_LAYOUT } from "./host/shared-memory.ts";
import { reasonOf } from "./reason.ts";
import { readSnapshotFile, reloadOnDemand, syncOptions } from "./source.ts";
import { Fleet, TICK_MS } from "./supervisor/fleet.ts";
import { Ledger, mergeClusters } from "./supervisor/ledger.ts";
import type { Assignment } from "./supervisor/messages.ts";
import { WORKER_VARIABLE } from "./supervisor/variables.ts";
import { freshEnvironment, handOver, type Handover } from "./supervisor/handover.ts";
import type { Member } from "./supervisor/member.ts";
import { AdoptedProcesses, startProcess, type Launch } from "./supervisor/processes.ts";
import { closePorts, openPort, type OpenPort } from "./supervisor/sockets.ts";
import { openSharedFile } from "./supervisor/shared-file.ts";
import { openSwitchboard } from "./supervisor/switchboard.ts";
import { Trial } from "./supervisor/trial.ts";
import { startSync, type Sync } from "./sync/sync.ts";
import type { RunningProxy } from "./proxy.ts";

/** Workers inherit sockets from here on. */
const FIRST_FD = 3;
/** How long who asked for a hot restart has to be answered. */
const FAREWELL_MS = 50;

/** Starts a supervisor and its workers; every reason why it cannot is told at once. Resolves when all workers serve. */
export async function superviseProxy(
  bootstrap: Bootstrap,
  log: Logger,
  ambient: Ambient,
  launch: Launch,
  before: Handover | undefined,
): Promise<Parsed<RunningProxy>> {
  const ports = await openPorts(bootstrap, before);
  if (!ports.ok) return ports;
  const supervisor = new Supervisor(bootstrap, log, ambient, launch, ports.value, before);
  const problems = before === undefined ? await supervisor.start() : await supervisor.takeOver(before);
  if (problems.length === 0) return { ok: true, value: supervisor };
  await supervisor.stop();
  return { ok: false, problems };
}

class Supervisor implements RunningProxy {
  readonly #bootstrap: Bootstrap;
  readonly #log: Logger;
  readonly #ambient: Ambient;
  readonly #launch: Launch;
  readonly #ports: readonly OpenPort[];
  readonly #sharedFd: number;
  readonly #fleet: Fleet;
  readonly #ledger = new Ledger();
  readonly #name: string;
  readonly #token: string;
  readonly #startedAtMs: number;
  readonly #adopted = new AdoptedProcesses();
  #trial: Trial | undefined;
  #isRestarting = false;
  readonly #reload: () => Promise<string | undefined>;
  /** How often `--config` was read again. */
  #reloads = 0;
  #admin: AdminServer | undefined;
  #sync: Sync | undefined;
  #closeSwitchboard: (() => void) | undefined;
  #ticker: ReturnType<typeof setInterval> | undefined;

  constructor(
    bootstrap: Bootstrap,
    log: Logger,
    ambient: Ambient,
    launch: Launch,
    ports: readonly OpenPort[],
    before: Handover | undefined,
  ) {
    this.#name = before?.channel ?? `vespid-${process.pid}-${crypto.randomUUID()}`;
    this.#token = before?.token ?? crypto.randomUUID();
    this.#bootstrap = bootstrap;
    this.#log = log;
    this.#ambient = ambient;
    this.#launch = launch;
    this.#ports = ports;
    this.#sharedFd = openSharedFile(before);
    this.#startedAtMs = before?.startedAtMs ?? ambient.clock.now();
    this.#fleet = new Fleet({
      start: (crew, slot) => this.#startWorker(crew, slot),
      retired: (member) => this.#ledger.retire(member.stats),
      told: (told) => void this.#sync?.tell(told),
      closePorts: () => closePorts(this.#ports),
      drainTimeMs: bootstrap.drainTimeMs,
      ...ambient,
      log,
    });
    this.#reload = reloadOnDemand(
      bootstrap,
      () => this.#fleet.isReady && !this.#isRestarting,
      () => {
        this.#reloads++;
        return this.#applyFile();
      },
    );
  }

  get adminPort(): number {
    return this.#admin?.port ?? this.#bootstrap.admin.port;
  }

  get inboundPorts(): readonly number[] {
    return this.#portsOf("inbound");
  }

  get outboundPorts(): readonly number[] {
    return this.#portsOf("outbound");
  }

  async start(): Promise<readonly Problem[]> {
    const { concurrency, admin } = this.#bootstrap;
    const refused = this.#openAdmin(admin.port);
    if (refused !== undefined) return [refused];
    this.#listen();
    this.#fleet.start(concurrency, concurrency);
    this.#followControl();
    const problems = await this.#applyFile();
    return problems.length > 0 ? problems : this.#fleet.complete();
  }

  /** As the next version of a program whose workers serve: they go on until workers of this one do. */
  async takeOver(before: Handover): Promise<readonly Problem[]> {
    const { port } = this.#bootstrap.admin;
    const refused = this.#openAdmin(port === 0 ? before.adminPort : port);
    if (refused !== undefined) this.#log.error({ problem: refused }, "the admin port cannot be opened again");
    this.#ledger.retire(before.retired);
    this.#fleet.adopt(
      before,
      before.members.map((member) => Object.assign(member, { process: this.#adopted.adopt(member.pid) })),
    );
    this.#listen();
    this.#followControl();
    void this.#replace();
    return Promise.resolve([]);
  }

  async restart(): Promise<string | undefined> {
    if (this.#isRestarting || this.#fleet.isReplacing) return "a hot restart is under way";
    if (!this.#fleet.isReady) return "not every worker serves";
    this.#isRestarting = true;
    const why = await this.#try();
    if (why === undefined) {
      // The admin port answers who asked, then goes.
      setTimeout(() => void this.#become(), FAREWELL_MS);
      return undefined;
    }
    this.#isRestarting = false;
    this.#log.error({ why }, "no hot restart: the program on disk cannot take over, this one goes on");
    return why;
  }

  async drain(): Promise<void> {
    await this.#fleet.drain(true);
  }

  async stop(): Promise<void> {
    await this.#fleet.stop();
    clearInterval(this.#ticker);
    await this.#sync?.stop();
    await this.#admin?.stop();
    this.#closeSwitchboard?.();
  }

  #portsOf(wanted: Direction): readonly number[] {
    return doorsOf(this.#bootstrap).flatMap(({ direction }, index) => {
      const port = this.#ports[index];
      return direction === wanted && port !== undefined ? [port.port] : [];
    });
  }

  #listen(): void {
    const trialOf = (member: Member): Trial | undefined => (this.#trial?.member === member ? this.#trial : undefined);
    this.#closeSwitchboard = openSwitchboard({
      name: this.#name,
      token: this.#token,
      find: (pid) => (this.#trial?.member.process.pid === pid ? this.#trial.member : this.#fleet.find(pid)),
      greeted: (member, hello) => {
        const trial = trialOf(member);
        if (trial === undefined) this.#fleet.greeted(member, hello);
        else trial.greeted(hello);
      },
      heard: (member, report) => {
        const trial = trialOf(member);
        if (trial === undefined) this.#fleet.heard(member, report);
        else trial.heard(report);
      },
    });
    this.#ticker ??= setInterval(() => {
      this.#adopted.tick();
      this.#fleet.tick();
    }, TICK_MS);
  }

  /** Starts the program on disk once, to see whether it can take over. Answers with why not. */
  async #try(): Promise<string | undefined> {
    const current = this.#fleet.current;
    const given = this.#assignment(0, 0, true);
    const environment = { ...freshEnvironment(this.#launch.environment), [WORKER_VARIABLE]: JSON.stringify(given) };
    try {
      const command = [this.#launch.program, ...this.#launch.args];
      this.#trial = new Trial(command, environment, this.#ambient.clock.monotonic());
      return await this.#trial.run(current);
    } catch (error) {
      return `it cannot be started: ${reasonOf(error)}`;
    } finally {
      this.#trial = undefined;
    }
  }

  /** Becomes the program on disk: the same process, with the same children and sockets. */
  async #become(): Promise<void> {
    this.#log.info("hot restart: becoming the program on disk");
    await this.#sync?.stop();
    await this.#stats();
    await this.#admin?.stop();
    this.#closeSwitchboard?.();
    try {
      handOver(this.#handover(), this.#launch);
    } catch (error) {
      this.#log.error({ error: String(error) }, "no hot restart: this program goes on");
      this.#isRestarting = false;
      this.#openAdmin(this.adminPort);
      this.#listen();
      this.#followControl();
    }
  }

  #handover(): Handover {
    const { crew, members, restarts, current } = this.#fleet;
    return {
      channel: this.#name,
      token: this.#token,
      startedAtMs: this.#startedAtMs,
      adminPort: this.adminPort,
      ports: doorsOf(this.#bootstrap).flatMap(({ direction }, index) => {
        const port = this.#ports[index];
        return port === undefined ? [] : [{ direction, ...port }];
      }),
      shared: { fd: this.#sharedFd, layout: SHARED_LAYOUT },
      crew: crew.id,
      slots: crew.slots,
      rowCount: crew.rowCount,
      restarts,
      members: members.map(({ process: { pid }, crew: id, slot, state, stats }) => ({
        pid,
        crew: id,
        slot,
        isLeaving: state === "leaving",
        stats,
      })),
      ...(current === undefined ? {} : { current }),
      retired: this.#ledger.retired,
    };
  }

  /** Workers of this version in place of those of the one before, all or none. */
  async #replace(): Promise<void> {
    const problems = await this.#fleet.replace(this.#bootstrap.concurrency, this.#ports[0]?.fds.length ?? 0);
    if (problems.length > 0) {
      this.#log.error({ problems }, "workers of this version cannot serve: those of the one before go on");
      return;
    }
    this.#log.info("hot restart: workers of this version serve, those of the one before drain");
    const refused = await this.#applyFile();
    if (refused.length > 0) this.#log.error({ problems: refused }, "snapshot refused, the running one stays");
  }

  #followControl(): void {
    const { control } = this.#bootstrap;
    if (control === undefined) return;
    const told = {
      applySnapshot: (raw: unknown, version: Version) => this.#apply(raw, version, "snapshot"),
      setTaps: (taps: readonly Tap[]) => this.#fleet.setTaps(taps),
    };
    this.#sync = startSync(syncOptions(this.#bootstrap, control, this.adminPort, this.#log, this.#ambient, told));
    if (this.#fleet.current === undefined) this.#log.info({ control }, "waiting for the first snapshot");
  }

  /** Without control: from a file, or with the defaults. */
  async #applyFile(): Promise<readonly Problem[]> {
    const { control, config } = this.#bootstrap;
    if (control !== undefined) return [];
    const raw = await readSnapshotFile(this.#bootstrap);
    if (!raw.ok) return raw.problems;
    // The same text may name files whose content is another by now.
    const version = this.#reloads === 0 ? versionOf(raw.value) : versionOf([raw.value, this.#reloads]);
    const problems = await this.#apply(raw.value, version, "");
    if (config === undefined) return problems;
    return problems.map((problem) => ({ path: config, message: renderProblem(problem) }));
  }

  #apply(raw: unknown, version: Version, at: string): Promise<readonly Problem[]> {
    return this.#fleet.apply({ version, snapshot: JSON.stringify(raw), at });
  }

  #startWorker(crew: number, slot: number): ReturnType<typeof startProcess> {
    const environment = {
      ...this.#launch.environment,
      [WORKER_VARIABLE]: JSON.stringify(this.#assignment(crew, slot, false)),
    };
    return startProcess({ ...this.#launch, environment }, [...this.#ports.flatMap(({ fds }) => fds), this.#sharedFd]);
  }

  #assignment(crew: number, slot: number, isTrial: boolean): Assignment {
    return {
      channel: this.#name,
      token: this.#token,
      supervisorPid: process.pid,
      crew,
      slot,
      rows: this.#ports[0]?.fds.length ?? 0,
      ports: this.#ports.map(({ port }) => port),
      // A trial is given nothing.
      ...(isTrial ? {} : { shared: FIRST_FD + this.#ports.flatMap(({ fds }) => fds).length }),
      isTrial,
      bootstrap: this.#bootstrap,
    };
  }

  #openAdmin(port: number): Problem | undefined {
    const { hostname } = this.#bootstrap.admin;
    try {
      this.#admin = startAdmin(hostname, port, {
        isReady: () => this.#fleet.isReady,
        configDump: () => this.#configDump(),
        clusters: async () => mergeClusters((await this.#fleet.ask("clusters")).map(({ text }) => text)),
        stats: () => this.#stats(),
        drain: () => void this.#fleet.drain(false),
        reload: this.#reload,
        restart: () => this.restart(),
      });
      return undefined;
    } catch (error) {
      return { path: "admin", message: `cannot listen on ${hostname}:${port}: ${reasonOf(error)}; pass --admin PORT` };
    }
  }

  async #configDump(): Promise<unknown> {
    const [first] = await this.#fleet.ask("config");
    const config: unknown = first === undefined ? {} : JSON.parse(first.text);
    return {
      version: this.#fleet.current?.version,
      sync: this.#sync?.state(),
      workers: this.#fleet.status,
      ...(typeof config === "object" && config !== null && "wasmEngine" in config
        ? { wasmEngine: config.wasmEngine }
        : {}),
      ...(typeof config === "object" && config !== null && "snapshot" in config ? { snapshot: config.snapshot } : {}),
    };
  }

  async #stats(): Promise<string> {
    for (const { member, text } of await this.#fleet.ask("stats")) member.stats = text;
    const { members } = this.#fleet;
    return this.#ledger.merge([...members.map(({ stats }) => stats), this.#ownStats()]);
  }

  #ownStats(): string {
    const uptimeMs = this.#ambient.clock.now() - this.#startedAtMs;
    const serving = this.#fleet.status.filter(({ state }) => state === "serving").length;
    const figures: readonly (readonly [string, string, number])[] = [
      ["vespid_workers", "gauge", serving],
      ["vespid_worker_restarts_total", "counter", this.#fleet.restarts],
      ["vespid_process_resident_memory_bytes", "gauge", process.memoryUsage.rss()],
      ["vespid_process_uptime_seconds", "gauge", Math.round(uptimeMs / 1000)],
    ];
    return figures.map(([name, type, value]) => `# TYPE ${name} ${type}\n${name} ${value}\n`).join("");
  }
}

/** Every port with as many sockets as workers; those that are open already are taken over. */
async function openPorts(bootstrap: Bootstrap, before: Handover | undefined): Promise<Parsed<readonly OpenPort[]>> {
  const ports: OpenPort[] = [];
  const problems: Problem[] = [];
  const open = [...(before?.ports ?? [])];
  const rows = Math.max(bootstrap.concurrency, before?.rowCount ?? 0);
  for (const { direction, hostname, port, ipv6Only } of doorsOf(bootstrap)) {
    try {
      const index = open.findIndex(
        (each) => each.direction === direction && each.hostname === hostname && each.asked === port,
      );
      const [known] = index < 0 ? [] : open.splice(index, 1);
      ports.push(await openPort({ hostname, port, ipv6Only }, rows, known));
    } catch (error) {
      problems.push({ path: direction, message: `cannot listen on ${hostname}:${port}: ${reasonOf(error)}` });
    }
  }
  // Workers of the version before hold theirs until they have drained.
  closePorts(open);
  if (problems.length === 0) return { ok: true, value: ports };
  closePorts(ports);
  return { ok: false, problems };
}
