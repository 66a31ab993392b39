// Preloaded by every `bun test` (bunfig.toml): a run that leaves a listener, a connection or a child process behind fails.
// Unhandled rejections fail a run without help: Bun attributes them to the test that was running.
import { afterAll } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** How long sockets that are being closed, and children that were told to stop, have to go. */
const GRACE_MS = 2000;
const POLL_MS = 20;
/** States of /proc/net/tcp that hold a resource: a listener, an established connection. */
const STATES: Readonly<Record<string, string>> = { "0A": "listener", "01": "connection" };

afterAll(async () => {
  const deadlineAtMs = performance.now() + GRACE_MS;
  let left = findLeaks();
  while (left.length > 0 && performance.now() < deadlineAtMs) {
    await Bun.sleep(POLL_MS);
    left = findLeaks();
  }
  if (left.length > 0) throw new Error(`the test run left these behind:\n  ${left.join("\n  ")}`);
});

/** What this process still holds, in words. */
function findLeaks(): readonly string[] {
  if (process.platform !== "linux") return [];
  return [...openSockets(), ...liveChildren()];
}

function openSockets(): readonly string[] {
  const own = new Set<string>();
  for (const descriptor of readdirSync("/proc/self/fd")) {
    const inode = /^socket:\[(\d+)\]$/u.exec(linkOf(`/proc/self/fd/${descriptor}`))?.[1];
    if (inode !== undefined) own.add(inode);
  }
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "latin1")
      .split("\n")
      .slice(1)
      .flatMap((line) => {
        const [, local = "", remote = "", state = "", , , , , , inode = ""] = line.trim().split(/\s+/u);
        const what = STATES[state];
        if (what === undefined || !own.has(inode)) return [];
        return [
          what === "listener" ? `listener on port ${portOf(local)}` : `connection ${portOf(local)} → ${portOf(remote)}`,
        ];
      }),
  );
}

function liveChildren(): readonly string[] {
  return readdirSync("/proc/self/task")
    .flatMap((task) => readOr(`/proc/self/task/${task}/children`, "").split(" "))
    .filter((pid) => pid !== "")
    .map(
      (pid) =>
        `process ${pid}: ${readOr(`/proc/${pid}/cmdline`, "").replaceAll("\0", " ").trim() || "(ended, not waited for)"}`,
    );
}

function portOf(address: string): number {
  return Number.parseInt(address.split(":")[1] ?? "0", 16);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // The descriptor of this very listing is gone by now.
    return "";
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // A process or thread that ended meanwhile.
    return otherwise;
  }
}
