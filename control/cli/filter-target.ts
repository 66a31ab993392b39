// What commands about filters in the mesh have in common: where control is, and which filter is meant.
import { Option, type Command } from "commander";
import type { Target } from "./client.ts";
import { CommandFailure, EXIT } from "./failure.ts";
import type { Printed } from "./apply.ts";

/** Flags of every such command. */
export interface FilterFlags {
  readonly control: string;
  readonly token?: string;
  readonly json?: boolean;
  readonly namespace: string;
}

/** Prints what a command came to. */
export type Print = (printed: Printed, flags: { readonly json?: boolean }) => void;

/** Adds a command about one filter. */
export function filterSubcommand(filter: Command, usage: string, description: string): Command {
  return filter
    .command(usage)
    .description(description)
    .addOption(
      new Option("--control <url>", "where control is").env("VESPID_CONTROL").default("http://127.0.0.1:15010"),
    )
    .addOption(new Option("--token <token>", "control's token").env("VESPID_TOKEN"))
    .option("-n, --namespace <namespace>", "of the Filter", "default")
    .option("--json", "print what control answered, or what it refused, as JSON");
}

export function targetOf({ control, token }: Pick<FilterFlags, "control" | "token">): Target {
  if (URL.canParse(control)) return { control, token };
  throw new CommandFailure(EXIT.usage, [`--control ${control} is not a URL such as http://127.0.0.1:15010`]);
}

/** Below the API: `/v1/filters/default/stamp/versions`. */
export function filterPath(namespace: string, name: string, what: string): string {
  return `/v1/filters/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}/${what}`;
}
