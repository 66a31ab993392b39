// THE MAP of a proxy of several workers: the supervisor holds the sockets, the admin port and the control connection; workers
// serve. It loads nothing of the data path, and carries no request.
import type { Logger } from "pino";
import { startAdmin, type AdminServer } from "./admin/admin.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { renderProblem, type Parsed, type Problem } from "./contract/problem.ts";
import type { Version } from "./contract/snapshot.ts";
import { versionOf } from "./contract/version.ts";
import type { Ambient } from "./data-path.ts";
import { doorsOf } from "./doors.ts";
import type { Direction } from "./exchange/exchange.ts";
import { reasonOf } from "./reason.ts";
import { readSnapshotFile, syncOptions } from "./source.ts";
import { Fleet, TICK_MS } from "./supervisor/fleet.ts";
import { Ledger, mergeClusters } from "./supervisor/ledger.ts";
import { WORKER_VARIABLE, type Assignment } from "./supervisor/messages.ts";
import { startProcess, type Launch } from "./supervisor/processes.ts";
import { closePorts, openPort, type OpenPort } from "./supervisor/sockets.ts";
import { openSwitchboard } from "./supervisor/switchboard.ts";
import { startSync, type Sync } from "./sync/sync.ts";
import type { RunningProxy } from "./proxy.ts";

/** Starts a supervisor and its workers; every reason why it cannot is told at once. Resolves when all workers serve. */
export async function superviseProxy(
  bootstrap: Bootstrap,
  log: Logger,
  ambient: Ambient,
  launch: Launch,
): Promise<Parsed<RunningProxy>> {
  const ports = await openPorts(bootstrap);
  if (!ports.ok) return ports;
  const supervisor = new Supervisor(bootstrap, log, ambient, launch, ports.value);
  const problems = await supervisor.start();
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
  readonly #fleet: Fleet;
  readonly #ledger = new Ledger();
  readonly #name = `vespid-${process.pid}-${crypto.randomUUID()}`;
  readonly #token: string = crypto.randomUUID();
  readonly #startedAtMs: number;
  #admin: AdminServer | undefined;
  #sync: Sync | undefined;
  #closeSwitchboard: (() => void) | undefined;
  #ticker: ReturnType<typeof setInterval> | undefined;

  constructor(bootstrap: Bootstrap, log: Logger, ambient: Ambient, launch: Launch, ports: readonly OpenPort[]) {
    this.#bootstrap = bootstrap;
    this.#log = log;
    this.#ambient = ambient;
    this.#launch = launch;
    this.#ports = ports;
    this.#startedAtMs = ambient.clock.now();
    this.#fleet = new Fleet({
      start: (crew, slot) => this.#startWorker(crew, slot),
      retired: (member) => this.#ledger.retire(member.stats),
      closePorts: () => closePorts(this.#ports),
      drainTimeMs: bootstrap.drainTimeMs,
      ...ambient,
      log,
    });
  }

  get adminPort(): number {
    return this.#admin?.port ?? this.#bootstrap.admin.port;
  }

  get inboundPorts(): readonly number[] {
    return this.#portsOf("inbound");
  }

  get outboundPort(): number | undefined {
    return this.#portsOf("outbound")[0];
  }

  async start(): Promise<readonly Problem[]> {
    const { concurrency } = this.#bootstrap;
    const refused = this.#openAdmin();
    if (refused !== undefined) return [refused];
    this.#closeSwitchboard = openSwitchboard({
      name: this.#name,
      token: this.#token,
      find: (pid) => this.#fleet.find(pid),
      greeted: (member, hello) => this.#fleet.greeted(member, hello),
      heard: (member, report) => this.#fleet.heard(member, report),
    });
    this.#ticker = setInterval(() => this.#fleet.tick(), TICK_MS);
    this.#fleet.start(concurrency, concurrency);
    const problems = await this.#follow();
    return problems.length > 0 ? problems : this.#fleet.complete();
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

  /** From control, from a file, or with the defaults. */
  async #follow(): Promise<readonly Problem[]> {
    const { control, config } = this.#bootstrap;
    if (control !== undefined) {
      const apply = (raw: unknown, version: Version): Promise<readonly Problem[]> =>
        this.#apply(raw, version, "snapshot");
      this.#sync = startSync(syncOptions(this.#bootstrap, control, this.adminPort, this.#log, this.#ambient, apply));
      this.#log.info({ control }, "waiting for the first snapshot");
      return [];
    }
    const raw = await readSnapshotFile(this.#bootstrap);
    if (!raw.ok) return raw.problems;
    const problems = await this.#apply(raw.value, versionOf(raw.value), "");
    if (config === undefined) return problems;
    return problems.map((problem) => ({ path: config, message: renderProblem(problem) }));
  }

  #apply(raw: unknown, version: Version, at: string): Promise<readonly Problem[]> {
    return this.#fleet.apply({ version, snapshot: JSON.stringify(raw), at });
  }

  #startWorker(crew: number, slot: number): ReturnType<typeof startProcess> {
    const assignment: Assignment = {
      channel: this.#name,
      token: this.#token,
      supervisorPid: process.pid,
      crew,
      slot,
      rows: this.#ports[0]?.fds.length ?? 0,
      ports: this.#ports.map(({ port }) => port),
      isTrial: false,
      bootstrap: this.#bootstrap,
    };
    const environment = { ...this.#launch.environment, [WORKER_VARIABLE]: JSON.stringify(assignment) };
    return startProcess(
      { ...this.#launch, environment },
      this.#ports.flatMap(({ fds }) => fds),
    );
  }

  #openAdmin(): Problem | undefined {
    const { hostname, port } = this.#bootstrap.admin;
    try {
      this.#admin = startAdmin(hostname, port, {
        isReady: () => this.#fleet.isReady,
        configDump: () => this.#configDump(),
        clusters: async () => mergeClusters((await this.#fleet.ask("clusters")).map(({ text }) => text)),
        stats: () => this.#stats(),
        drain: () => void this.#fleet.drain(false),
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

async function openPorts(bootstrap: Bootstrap): Promise<Parsed<readonly OpenPort[]>> {
  const ports: OpenPort[] = [];
  const problems: Problem[] = [];
  for (const { direction, hostname, port, ipv6Only } of doorsOf(bootstrap)) {
    try {
      ports.push(await openPort({ hostname, port, ipv6Only }, bootstrap.concurrency));
    } catch (error) {
      problems.push({ path: direction, message: `cannot listen on ${hostname}:${port}: ${reasonOf(error)}` });
    }
  }
  if (problems.length === 0) return { ok: true, value: ports };
  closePorts(ports);
  return { ok: false, problems };
}
