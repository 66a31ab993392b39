// The demo's operator: what the scenario wants, as `vespid` command lines against the control service.
import { join } from "node:path";
import { z } from "zod";
import type { RunningControl } from "../harness/control.ts";
import { runProgram } from "../harness/program.ts";
import { ROOT } from "../harness/proxy.ts";
import type { Operator } from "./scenario.ts";
import type { View } from "./view.ts";

const Pushed = z.object({ digest: z.string() });

/** Runs every command in `folder`, and shows it as it would be typed. */
export function createOperator(control: RunningControl, folder: string, view: View): Operator {
  async function vespid(...args: readonly string[]): Promise<string> {
    view.say(`$ vespid ${args.map((arg) => arg.replace(`${ROOT}/`, "").replace(`${folder}/`, "")).join(" ")}`);
    const command = [process.execPath, join(ROOT, "control/cli/main.ts"), ...args];
    const env = { VESPID_CONTROL: control.url, VESPID_TOKEN: control.token };
    const run = await runProgram(command, { cwd: folder, env });
    if (run.status !== 0) throw new Error(`vespid ${args.join(" ")} ended with ${run.status}:\n${run.output}`);
    return run.stdout;
  }
  return {
    apply: (file) => control.rollOut(async () => void (await vespid("apply", "-f", file))),
    buildFilter: async (source, artifact) => void (await vespid("filter", "build", source, "-o", artifact)),
    pushFilter: async (artifact) => Pushed.parse(JSON.parse(await vespid("filter", "push", artifact, "--json"))).digest,
  };
}
