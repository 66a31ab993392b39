// The process edge: arguments, signals, exit codes. 0 ended as asked, 1 could not start, 2 the arguments are wrong.
import { join } from "node:path";
import pino, { type Logger } from "pino";
import type { Bootstrap } from "./bootstrap.ts";
import type { Parsed } from "./contract/problem.ts";
import type { Ambient } from "./data-path.ts";
import type { RunningProxy } from "./proxy.ts";
import { watchStrays } from "./strays.ts";
import { HANDOVER_VARIABLE, WORKER_VARIABLE } from "./supervisor/variables.ts";

const ambient: Ambient = {
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  random: Math.random,
  watchStrays,
};

const worker = process.env[WORKER_VARIABLE];
await (worker === undefined ? runProxy() : runWorker(worker));

/** A process that was started by people: one that serves, or one that has others serve. */
async function runProxy(): Promise<void> {
  const { readBootstrap } = await import("./bootstrap.ts");
  const { renderProblems } = await import("./contract/problem.ts");
  const asked = await readBootstrap(process.argv.slice(2), process.env);
  if (asked.ok === "text") {
    (asked.exitCode === 0 ? process.stdout : process.stderr).write(asked.text);
    process.exit(asked.exitCode);
  }
  if (!asked.ok) {
    process.stderr.write(`the proxy cannot start:\n${renderProblems(asked.problems)}\n`);
    process.exit(2);
  }
  const bootstrap = asked.value;
  const log = openLog(bootstrap.logLevel, { service: bootstrap.service });

  let proxy: RunningProxy | undefined;
  let isEnding = false;
  async function end(): Promise<void> {
    // A second signal means now, and so does one before anything serves.
    if (isEnding || proxy === undefined) process.exit(isEnding ? 1 : 0);
    isEnding = true;
    log.info("draining: no new connections");
    await proxy.drain();
    await proxy.stop();
    process.exit(0);
  }
  process.on("SIGTERM", () => void end());
  process.on("SIGINT", () => void end());
  process.on("SIGUSR2", () => {
    void proxy?.restart().then((why) => (why === undefined ? undefined : log.warn({ why }, "no hot restart")));
  });

  // Each loads what it needs: a supervisor nothing of the data path.
  const handover = process.env[HANDOVER_VARIABLE];
  const isAlone = bootstrap.concurrency === 1 && handover === undefined;
  const start = isAlone ? await loadAlone() : await loadSupervisor(handover);
  const started = await start(bootstrap, log);
  if (!started.ok) {
    process.stderr.write(`the proxy cannot start:\n${renderProblems(started.problems)}\n`);
    process.exit(1);
  }
  proxy = started.value;
  // Redirected connections come to one port in both families.
  log.info(
    {
      inbound: [...new Set(proxy.inboundPorts)],
      outbound: [...new Set(proxy.outboundPorts)],
      admin: proxy.adminPort,
    },
    "ready",
  );
}

type Start = (bootstrap: Bootstrap, log: Logger) => Promise<Parsed<RunningProxy>>;

async function loadAlone(): Promise<Start> {
  const { startProxy } = await import("./proxy.ts");
  return (bootstrap, log) => startProxy(bootstrap, log, ambient);
}

async function loadSupervisor(handover: string | undefined): Promise<Start> {
  const { superviseProxy } = await import("./supervise.ts");
  const { readHandover } = await import("./supervisor/handover.ts");
  const before = handover === undefined ? undefined : readHandover(Number(handover));
  delete process.env[HANDOVER_VARIABLE];
  const launch = {
    program: process.execPath,
    args: [...process.execArgv, join(import.meta.dir, "main.ts"), ...process.argv.slice(2)],
    environment: process.env,
  };
  return (bootstrap, log) => superviseProxy(bootstrap, log, ambient, launch, before);
}

/** A process dies within so long, and nobody asks twice sooner. */
const KERNEL_TELLS_MS = 250;

/** A process that a supervisor started. */
async function runWorker(given: string): Promise<void> {
  const { readAssignment, startWorker } = await import("./worker.ts");
  const asked = readAssignment(given);
  const assignment = asked.isTrial ? { ...asked, bootstrap: await tryProgram() } : asked;
  const { logLevel, service } = assignment.bootstrap;
  const running = startWorker(assignment, openLog(logLevel, { service, worker: assignment.slot }), ambient);
  let endsSinceMs: number | undefined;
  const end = (): void => {
    const nowMs = ambient.clock.monotonic();
    endsSinceMs ??= nowMs;
    running.drain();
    // A second signal means now, if a living supervisor passed it on. The kernel tells of one that dies by several, one for
    // each of its threads that had the worker for a moment, and while the first of them come it still is the parent.
    if (nowMs - endsSinceMs > KERNEL_TELLS_MS && process.ppid === assignment.supervisorPid) process.exit(1);
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
}

/** Before a hot restart: reads the settings and loads the supervisor, as it would be. Ends the process where it cannot. */
async function tryProgram(): Promise<Bootstrap> {
  const { readBootstrap } = await import("./bootstrap.ts");
  const { renderProblems } = await import("./contract/problem.ts");
  const asked = await readBootstrap(process.argv.slice(2), process.env);
  await import("./supervise.ts");
  if (asked.ok === true) return asked.value;
  process.stderr.write(asked.ok === "text" ? asked.text : `${renderProblems(asked.problems)}\n`);
  process.exit(2);
}

function openLog(level: string, base: Readonly<Record<string, unknown>>): Logger {
  return pino({ level, base }, pino.destination({ dest: 2, sync: true }));
}
