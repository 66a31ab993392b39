#!/usr/bin/env bun
// Process edge of `vespid`: arguments in, text and exit codes out.
import { Command, CommanderError, Option } from "commander";
import { visibleLines } from "../../runtime/contract/visible.ts";
import { filterCommand } from "../../sdk/build/command.ts";
import { apply, type Printed } from "./apply.ts";
import type { Target } from "./client.ts";
import { CommandFailure, EXIT } from "./failure.ts";
import { addTailCommands } from "./filter-tail.ts";
import { addVersionCommands } from "./filter-versions.ts";
import { get, remove, removeFiles, type GetOptions } from "./get.ts";
import { interceptCommand } from "./intercept.ts";
import { proxies } from "./proxies.ts";

/** Flags of every command that talks to control. */
interface ConnectionFlags extends Target {
  readonly json?: boolean;
}

const program = new Command("vespid")
  .description("Says what the mesh should do, and shows what it does")
  .addHelpText(
    "after",
    `
Exit codes:
  ${EXIT.ok}  done
  ${EXIT.refused}  refused: every problem is on stderr, nothing was changed
  ${EXIT.usage}  the command line is wrong
  ${EXIT.unreachable}  control does not answer
  ${EXIT.unauthorized}  the token is missing or wrong`,
  )
  .exitOverride();

/** Adds a command with the flags of the connection. */
function command(usage: string, description: string): Command {
  return program
    .command(usage)
    .description(description)
    .addOption(
      new Option("--control <url>", "where control is").env("VESPID_CONTROL").default("http://127.0.0.1:15010"),
    )
    .addOption(new Option("--token <token>", "control's token, needed for changes").env("VESPID_TOKEN"))
    .option("--json", "print what control answered, or what it refused, as JSON");
}

function targetOf({ control, token }: ConnectionFlags): Target {
  if (URL.canParse(control)) return { control, token };
  throw new CommandFailure(EXIT.usage, [`--control ${control} is not a URL such as http://127.0.0.1:15010`]);
}

function print({ json, lines, notes }: Printed, flags: Pick<ConnectionFlags, "json">): void {
  const text = flags.json === true ? [JSON.stringify(json)] : lines.map(visibleLines);
  if (text.length > 0) process.stdout.write(`${text.join("\n")}\n`);
  if (notes.length > 0) process.stderr.write(`${notes.map(visibleLines).join("\n")}\n`);
}

command("apply", "create or change resources, all or none")
  .requiredOption("-f, --file <path...>", "YAML or JSON files, folders of them, or - for stdin")
  .option("--dry-run", "check and say what would happen")
  .action(async (flags: ConnectionFlags & { readonly file: readonly string[]; readonly dryRun?: boolean }) => {
    print(await apply(targetOf(flags), flags.file, flags.dryRun === true), flags);
  });

command(
  "get <kind> [name]",
  "show resources: serviceentry (se), destinationrule (dr), virtualservice (vs), sidecar, filter, bundle",
)
  .option("-n, --namespace <namespace>", "default: all for a list, default for one")
  .addOption(new Option("-o, --output <format>", "how").choices(["table", "yaml", "json"]).default("table"))
  .action(
    async (
      kind: string,
      name: string | undefined,
      flags: ConnectionFlags & Pick<GetOptions, "namespace" | "output">,
    ) => {
      const options = { namespace: flags.namespace, output: flags.output, nowMs: Date.now() };
      print(await get(targetOf(flags), kind, name, options), flags);
    },
  );

command("delete [kind] [name]", "delete a resource, or with -f all that the files name")
  .option("-n, --namespace <namespace>", "of the resource", "default")
  .option("-f, --file <path...>", "YAML or JSON files, folders of them, or - for stdin")
  .action(async (kind: string | undefined, name: string | undefined, flags: DeleteFlags) => {
    print(await runDelete(kind, name, flags), flags);
  });

command("proxies", "show who runs which version, and what was refused and why").action(async (flags: ConnectionFlags) =>
  print(await proxies(targetOf(flags), Date.now()), flags),
);

program.addCommand(interceptCommand(print).copyInheritedSettings(program));
const filter = filterCommand();
addVersionCommands(filter, print);
addTailCommands(filter);
program.addCommand(filter);

interface DeleteFlags extends ConnectionFlags {
  readonly namespace: string;
  readonly file?: readonly string[];
}

async function runDelete(kind: string | undefined, name: string | undefined, flags: DeleteFlags): Promise<Printed> {
  if (flags.file !== undefined && kind === undefined) return removeFiles(targetOf(flags), flags.file);
  if (kind !== undefined && name !== undefined && flags.file === undefined) {
    return remove(targetOf(flags), kind, name, flags.namespace);
  }
  throw new CommandFailure(EXIT.usage, ["say either KIND and NAME, or -f FILE"]);
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommandFailure) {
    if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify(error.json)}\n`);
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.exitCode;
  } else if (error instanceof CommanderError) {
    // It has printed what is wrong, or the help that was asked for.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    throw error;
  }
}
