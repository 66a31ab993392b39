// How many processors this process may use: by affinity, and by the limit of its cgroup.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** At least 1. A limit of two and a half processors keeps three workers busy. */
export function countCpus(read: (path: string) => string | undefined = readText): number {
  const limits = [availableParallelism(), ...cgroupPaths(read).map((path) => limitAt(path, read))];
  return Math.max(1, Math.ceil(Math.min(...limits)));
}

/** Folders that may hold a limit: of each cgroup that this process is in, and of those above it. */
function cgroupPaths(read: (path: string) => string | undefined): readonly string[] {
  return (read("/proc/self/cgroup") ?? "").split("\n").flatMap((line) => {
    const [, controllers = "", path] = line.split(":");
    if (path === undefined || (controllers !== "" && !controllers.split(",").includes("cpu"))) return [];
    const root = controllers === "" ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    const paths = [root];
    for (const name of path.split("/")) if (name !== "") paths.push(`${paths.at(-1)}/${name}`);
    return paths;
  });
}

/** Processors that the limit is worth: quota ÷ period. `Infinity` without one. */
function limitAt(path: string, read: (path: string) => string | undefined): number {
  const [quota, period] = (read(`${path}/cpu.max`) ?? "max").split(" ").map(Number);
  const older = [read(`${path}/cpu.cfs_quota_us`), read(`${path}/cpu.cfs_period_us`)].map(Number);
  for (const [used, each] of [[quota, period], older]) {
    if (used !== undefined && each !== undefined && used > 0 && each > 0) return used / each;
  }
  return Number.POSITIVE_INFINITY;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Not on this system, or not for us.
    return undefined;
  }
}
