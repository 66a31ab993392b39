// What processes cost, as the kernel counts it.
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";
import { runProgram } from "../harness/program.ts";

const PAGE_BYTES = 4096;
/** Of a process's clock, the one that counts all its threads, those that ended too (CPUCLOCK_SCHED, linux/posix-timers.h). */
const CLOCK_OF_PROCESS = 2;

const libc = dlopen("libc.so.6", { clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 } });

/** User and system time of a process and all its descendants, microseconds. `/proc` would tell it by 10 ms only. */
export function cpuTimeUs(pid: number): number {
  return readProcessTree(pid).reduce((sum, process) => sum + clockOf(process.pid), 0);
}

/** Resident memory of a process and all its descendants, bytes; pages that they share count for each. */
export function residentBytes(pid: number): number {
  return readProcessTree(pid).reduce((sum, process) => sum + process.residentPages, 0) * PAGE_BYTES;
}

/** Open file descriptors of a process and all its descendants. */
export function openDescriptors(pid: number): number {
  return readProcessTree(pid).reduce((sum, process) => sum + readdirSync(`/proc/${process.pid}/fd`).length, 0);
}

/** A process and all its descendants. */
export function processTree(root: number): readonly number[] {
  return readProcessTree(root).map(({ pid }) => pid);
}

/** Moves a process with all its threads and descendants to one core, or to a list such as `0-1`. */
export async function moveToCore(pid: number, core: number | string): Promise<void> {
  for (const process of readProcessTree(pid)) await runProgram(["taskset", "-acp", String(core), String(process.pid)]);
}

function clockOf(pid: number): number {
  const time = new BigInt64Array(2);
  // A process that ended meanwhile has no clock: it counts as nothing.
  if (libc.symbols.clock_gettime((~pid << 3) | CLOCK_OF_PROCESS, ptr(time)) !== 0) return 0;
  return Number(time[0] ?? 0n) * 1e6 + Number(time[1] ?? 0n) / 1e3;
}

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
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
  return [{ pid, parent: field(4), residentPages: field(24) }];
}
