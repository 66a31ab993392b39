// The command line against a running control service.
import { join } from "node:path";
import type { RunningControl } from "./control.ts";
import { ROOT } from "./proxy.ts";

/** How a command ended. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `vespid` with the control's address and token. */
export async function runVespid(control: RunningControl, args: readonly string[]): Promise<Ran> {
  const child = Bun.spawn([process.execPath, join(ROOT, "control/cli/main.ts"), ...args], {
    env: { ...process.env, VESPID_CONTROL: control.url, VESPID_TOKEN: control.token },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}
