// What a supervisor tells the next version of its program when it becomes that: a file in memory whose descriptor it inherits,
// with the sockets, as its workers do not change hands but go on as children of the same process.
import { closeSync, readFileSync, writeSync } from "node:fs";
import { z } from "zod";
import { Version } from "../contract/snapshot.ts";
import { openMemoryFile, replaceProcess, setInherited } from "./libc.ts";
import type { Launch } from "./processes.ts";
import { ENGINE_VARIABLE, HANDOVER_VARIABLE, WORKER_VARIABLE } from "./variables.ts";

const Handover = z.object({
  channel: z.string(),
  token: z.string(),
  startedAtMs: z.number(),
  /** As bound. */
  adminPort: z.int(),
  ports: z.array(
    z.object({ direction: z.string(), hostname: z.string(), asked: z.int(), port: z.int(), fds: z.array(z.int()) }),
  ),
  /** The file of what filters share, and how it is laid out. */
  shared: z.object({ fd: z.int(), layout: z.int() }).optional(),
  slots: z.int(),
  rowCount: z.int(),
  crew: z.int(),
  restarts: z.int(),
  members: z.array(z.object({ pid: z.int(), crew: z.int(), slot: z.int(), isLeaving: z.boolean(), stats: z.string() })),
  current: z.object({ version: Version, snapshot: z.string(), at: z.string() }).optional(),
  /** Counts of workers that ended. */
  retired: z.string(),
});
export type Handover = z.infer<typeof Handover>;

/** Reads what was handed over, and closes it. Throws on what no supervisor of ours wrote. */
export function readHandover(fd: number): Handover {
  // Its offset is at its end, and shared: read by its name instead.
  const handover = Handover.parse(JSON.parse(readFileSync(`/proc/self/fd/${fd}`, "utf8")));
  closeSync(fd);
  for (const each of descriptorsOf(handover)) setInherited(each, false);
  return handover;
}

/** Becomes the program as it is on disk now. Returns only by throwing; then nothing has changed. */
export function handOver(handover: Handover, launch: Launch): never {
  const fd = openMemoryFile("vespid-handover");
  const bytes = Buffer.from(JSON.stringify(handover));
  for (let offset = 0; offset < bytes.length;) offset += writeSync(fd, bytes, offset);
  const fds = [fd, ...descriptorsOf(handover)];
  for (const each of fds) setInherited(each, true);
  try {
    const environment = { ...launch.environment, [HANDOVER_VARIABLE]: String(fd) };
    return replaceProcess(launch.program, [launch.program, ...launch.args], environment);
  } catch (error) {
    for (const each of fds) setInherited(each, false);
    closeSync(fd);
    throw error;
  }
}

function descriptorsOf({ ports, shared }: Handover): readonly number[] {
  return [...ports.flatMap((port) => port.fds), ...(shared === undefined ? [] : [shared.fd])];
}

/** The environment as it was before our launcher set up the engine. */
export function freshEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const own = new Set([
    ENGINE_VARIABLE,
    HANDOVER_VARIABLE,
    WORKER_VARIABLE,
    ...(environment[ENGINE_VARIABLE] ?? "").split(","),
  ]);
  const fresh: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && !own.has(name)) fresh[name] = value;
  }
  return fresh;
}
