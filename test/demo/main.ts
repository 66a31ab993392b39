// `bun run demo [--once]`: a bookshop in a mesh, and a filter pushed into it while visitors read.
import { parseArgs } from "node:util";
import { runDemo } from "./bookshop.ts";
import { openView } from "./view.ts";

const USAGE = `usage: bun run demo [--once]

Starts a bookshop of four services in six processes, each behind its own sidecar, and one control service; sends
visitors; applies a canary and header-matched routing; writes, builds and pushes a filter. Stays until Ctrl-C and prints
addresses to try by hand.

  --once    does it all, prints a summary and ends: 0 when no request failed
`;

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interrupt.abort(signal));
process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
  let isOnce: boolean;
  try {
    const options = { once: { type: "boolean" }, help: { type: "boolean", short: "h" } } as const;
    const { values } = parseArgs({ args: [...args], options });
    if (values.help === true) {
      process.stdout.write(USAGE);
      return 0;
    }
    isOnce = values.once === true;
  } catch (error) {
    // parseArgs throws for an option that it does not know.
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return 2;
  }
  try {
    const outcome = await runDemo({ isOnce, interrupted: interrupt.signal, view: openView(process.stdout) });
    process.stdout.write(outcome.summary);
    return outcome.isGood ? 0 : 1;
  } catch (error) {
    if (interrupt.signal.aborted) return isOnce ? 130 : 0;
    process.stderr.write(`the demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}
