// What commands say and how they end. What programs read goes to standard output, what people watch goes to standard error.
import { renderProblem, type Problem } from "../../runtime/contract/problem.ts";

/** What a person types before the name of a subcommand: here, or where the package is installed. */
export const COMMAND: string = import.meta.dir.includes("/node_modules/") ? "npx vespid filter" : "bun run filter";

/** Exit codes, as `vespid --help` lists them. */
export const EXIT = { failed: 1, usage: 2, unreachable: 3, unauthorized: 4 } as const;

/** A flag of every command that programs may call. */
export interface JsonOption {
  readonly json?: boolean;
}

/** Tells problems and leaves their exit code. */
export function fail(problems: readonly Problem[], options: JsonOption, exitCode: number = EXIT.failed): void {
  if (options.json === true) print({ problems });
  else for (const problem of problems) tell(`error: ${renderProblem(problem)}`);
  process.exitCode = exitCode;
}

/** For programs. */
export function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** For people. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
