// `vespid intercept`: prints or applies the iptables rules that lead a machine's or a pod's connections through its sidecar.
import { Command, Option } from "commander";
import { renderScript } from "../intercept/render.ts";
import { buildRules, type Family, type RuleSet } from "../intercept/rules.ts";
import { parseIntercept } from "../intercept/settings.ts";
import { applyRules, removeRules, systemFamilies, type Changed } from "../intercept/system.ts";
import type { Problem } from "../../runtime/contract/problem.ts";
import type { Printed } from "./apply.ts";
import { CommandFailure, EXIT } from "./failure.ts";

/** A setting: its flag as here, its flag in Istio's tool, what it means. */
type Setting = readonly [flags: string, istio: string, description: string];

const SETTINGS: readonly Setting[] = [
  ["-p, --proxy-port <port>", "envoy-port", "where outbound connections go (default 15001)"],
  ["-z, --inbound-capture-port <port>", "", "where inbound connections go (default 15006)"],
  ["-e, --inbound-tunnel-port <port>", "", "inbound port that is never redirected (default 15008)"],
  ["-u, --proxy-uid <uids>", "", "users that the proxy runs as; what they send is left alone (default 1337)"],
  ["-g, --proxy-gid <gids>", "", "groups that the proxy runs as (default: the same numbers as --proxy-uid)"],
  ["-b, --inbound-ports <ports>", "istio-inbound-ports", 'inbound ports to redirect, "" for none (default "*")'],
  [
    "-d, --exclude-inbound-ports <ports>",
    "istio-local-exclude-ports",
    "inbound ports to leave alone, besides 15020, 15021 and 15090",
  ],
  ["-i, --include-outbound-cidrs <cidrs>", "istio-service-cidr", 'destinations to redirect, "" for none (default "*")'],
  ["-x, --exclude-outbound-cidrs <cidrs>", "istio-service-exclude-cidr", "destinations to leave alone"],
  ["-q, --include-outbound-ports <ports>", "istio-outbound-ports", "destination ports to redirect at any address"],
  ["-o, --exclude-outbound-ports <ports>", "istio-local-outbound-ports-exclude", "destination ports to leave alone"],
  ["-c, --exclude-interfaces <names>", "istio-exclude-interfaces", "network interfaces to leave alone"],
  ["-m, --interception-mode <mode>", "istio-inbound-interception-mode", "REDIRECT, the default"],
];

/** Flags of Istio's tool that mean something else here or nothing yet: refused by name, not as a slip of the keyboard. */
const REFUSED: readonly Setting[] = [
  [
    "--redirect-dns",
    "",
    "names are not looked up by the proxy yet; leave it out and the application's resolver is used",
  ],
  ["--capture-all-dns", "", "names are not looked up by the proxy yet; leave it out"],
  ["-k, --kube-virt-interfaces <names>", "", "virtual machines behind a bridge are not redirected; leave it out"],
  ["--drop-invalid", "", "packets that belong to no connection are left to the firewall; leave it out"],
];

interface InterceptFlags {
  readonly apply?: boolean;
  readonly cleanup?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly ipFamily: "auto" | "ipv4" | "ipv6" | "both";
}

/** The command; `print` writes what it did. */
export function interceptCommand(print: (printed: Printed, flags: { readonly json?: boolean }) => void): Command {
  const command = new Command("intercept")
    .description("lead a machine's connections through its sidecar: print iptables rules as Istio's, or apply them")
    .option("--apply", "put the rules in place, all at once; again is fine, and replaces what was there")
    .option("--cleanup", "take the rules away")
    .addOption(new Option("--clean").hideHelp())
    .option("--dry-run", "print only; this is also what happens without --apply");
  for (const [flags, istio, description] of SETTINGS) {
    command.option(flags, description);
    if (istio !== "") command.addOption(new Option(`--${istio} <value>`).hideHelp());
  }
  for (const [flags] of REFUSED) command.addOption(new Option(flags).hideHelp());
  return command
    .addOption(
      new Option("--ip-family <family>", "which rules: auto is IPv4, and IPv6 where the system has it")
        .choices(["auto", "ipv4", "ipv6", "both"])
        .default("auto"),
    )
    .option("--json", "print the rules with their reasons, or what was changed, as JSON")
    .addHelpText("after", HELP)
    .action((flags: InterceptFlags & Record<string, unknown>) => print(intercept(flags), flags));
}

const HELP = `
Lists are separated by commas. The flags of istio-iptables are understood too.

The proxy must run as a user of its own, 1337 unless told otherwise, and listen where the rules lead:
  bun run vespid intercept --apply --exclude-inbound-ports 22
  setpriv --reuid 1337 --regid 1337 --clear-groups bun run proxy --service reviews --interception redirect

Rules are those of the network namespace that this runs in:
  ip netns exec NAME bun run vespid intercept --apply
To see them first, or where root is somebody else:
  bun run vespid intercept > rules.sh`;

function intercept(flags: InterceptFlags & Readonly<Record<string, unknown>>): Printed {
  const problems: Problem[] = REFUSED.flatMap(([usage, , message]) => {
    const name = longNameOf(usage);
    return flags[camelCase(name)] === undefined ? [] : [{ path: `--${name}`, message: `is not supported: ${message}` }];
  });
  const isCleanup = flags.cleanup === true || flags["clean"] === true;
  if (isCleanup && flags.apply === true) {
    problems.push({ path: "--cleanup", message: "takes rules away, and --apply puts them in place; leave one out" });
  }
  const settings = parseIntercept(textsOf(flags));
  if (!settings.ok) problems.push(...settings.problems);
  if (!settings.ok || problems.length > 0) throw refusal(EXIT.usage, problems);
  const families = familiesOf(flags.ipFamily);
  const sets = families.map((family) => buildRules(settings.value, family));
  const isDry = flags.dryRun === true;
  if (isCleanup && !isDry) return renderChanged(removeRules(families), "removed");
  if (flags.apply === true && !isDry) return renderChanged(applyRules(sets), "applied");
  if (isCleanup)
    return { json: { families }, lines: [`would remove the rules of ${families.join(" and ")}`], notes: [] };
  return { json: { families: sets.map(toJson) }, lines: [renderScript(sets).trimEnd()], notes: [] };
}

function familiesOf(choice: InterceptFlags["ipFamily"]): readonly Family[] {
  switch (choice) {
    case "auto":
      return systemFamilies();
    case "both":
      return ["ipv4", "ipv6"];
    case "ipv4":
    case "ipv6":
      return [choice];
  }
}

/** The settings among the flags, Istio's names turned into ours. */
function textsOf(flags: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [usage, istio] of SETTINGS) {
    const name = camelCase(longNameOf(usage));
    const value = flags[name] ?? (istio === "" ? undefined : flags[camelCase(istio)]);
    if (typeof value === "string") texts[name] = value;
  }
  return texts;
}

function toJson({ family, rules, jumps }: RuleSet): unknown {
  return {
    family,
    rules: [...rules, ...jumps].map(({ chain, match, why }) => ({ table: "nat", rule: `-A ${chain} ${match}`, why })),
  };
}

function renderChanged(changed: Changed, what: "applied" | "removed"): Printed {
  if (!changed.ok) throw refusal(EXIT.refused, changed.problems);
  return {
    json: { [what]: changed.changes },
    lines: changed.changes.map(({ family, changed: isNew, rules }) => {
      const count = rules.filter((rule) => rule.startsWith("-A")).length;
      if (what === "removed") return `${family}: ${isNew ? "rules removed" : "there were none"}`;
      return `${family}: ${count} rules ${isNew ? "applied" : "in place already"}`;
    }),
    notes: [],
  };
}

function refusal(exitCode: CommandFailure["exitCode"], problems: readonly Problem[]): CommandFailure {
  return new CommandFailure(
    exitCode,
    problems.map(({ path, message }) => `${path}: ${message}`),
    { problems },
  );
}

function longNameOf(usage: string): string {
  return /--([a-z-]+)/u.exec(usage)?.[1] ?? "";
}

function camelCase(name: string): string {
  return name.replaceAll(/-([a-z])/gu, (_, letter: string) => letter.toUpperCase());
}
