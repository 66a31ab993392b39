// What processes cost, as the kernel counts it.
import { readdirSync, readFileSync } from "node:fs";

/** USER_HZ: the unit of times in /proc/PID/stat on every Linux that Bun runs on. */
const TICK_US = 10_000;
const PAGE_BYTES = 4096;

/** User and system time of a process and all its descendants, microseconds. Resolution is 10 ms. */
export function cpuTimeUs(pid: number): number {
  const ticks = readProcessTree(pid).reduce((sum, process) => sum + process.ticks, 0);
  return ticks * TICK_US;
}

/** Resident memory of a process and all its descendants, bytes; pages that they share count for each. */
export function residentBytes(pid: number): number {
  return readProcessTree(pid).reduce((sum, process) => sum + process.residentPages, 0) * PAGE_BYTES;
}

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
  readonly residentPages: number;
}

function readProcessTree(root: number): readonly ProcessStat[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/u.test(name))
    .flatMap((name) => readStat(Number(name)));
  const tree = all.filter(({ pid }) => pid === root);
  // Grows while it is walked: children of children join at the end.
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

function readStat(pid: number): readonly ProcessStat[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    // It ended between the listing and now.
    return [];
  }
  // The name may hold spaces and parentheses; fields are counted from the last one (man 5 proc_pid_stat).
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const field = (number: number) => Number(fields[number - 3] ?? 0);
  return [{ pid, parent: field(4), ticks: field(14) + field(15), residentPages: field(24) }];
}
