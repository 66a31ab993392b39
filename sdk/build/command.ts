// `filter new`, `filter build` and `filter push` as commander commands, so that `vespid` can mount them.
import { Command } from "commander";

/** The `filter` command with its subcommands; `vespid` adds it to its own. */
export function filterCommand(): Command {
  return new Command("filter").description("Write, build and push filters");
}
