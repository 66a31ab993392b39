// What a container may use, as cgroups of both versions say it.
import { describe, expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { countCpus } from "./cpus.ts";

const all = availableParallelism();

describe("processors are those of the affinity, and no more than the cgroup's limit", () => {
  test.each<[string, Readonly<Record<string, string>>, number]>([
    ["no cgroup", {}, all],
    ["no limit", { "/proc/self/cgroup": "0::/a", "/sys/fs/cgroup/a/cpu.max": "max 100000" }, all],
    ["half a processor", { "/proc/self/cgroup": "0::/a", "/sys/fs/cgroup/a/cpu.max": "50000 100000" }, 1],
    ["a limit above", { "/proc/self/cgroup": "0::/a/b", "/sys/fs/cgroup/a/cpu.max": "100000 100000" }, 1],
    ["a container's own root", { "/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "90000 100000" }, 1],
    [
      "version 1",
      {
        "/proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x",
        "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "100000",
        "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
      },
      1,
    ],
  ])("%s", (_name, files, expected) => {
    expect(countCpus((path) => files[path])).toBe(expected);
  });
});
