// `bun run filter`: the edge of the process.
import { CommanderError } from "commander";
import { filterCommand } from "./command.ts";

if (import.meta.main) {
  try {
    await filterCommand().parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // It has printed what is wrong with the command line, or the help that was asked for.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  }
}
