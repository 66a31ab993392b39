// Rules → the text that iptables-restore takes, and a script for people (pure).
import { INBOUND_SOURCE, OWN_CHAIN, type Family, type Rule, type RuleSet } from "./rules.ts";

/** Program names of one family. */
export const PROGRAMS: Readonly<Record<Family, { iptables: string; save: string; restore: string }>> = {
  ipv4: { iptables: "iptables", save: "iptables-save", restore: "iptables-restore" },
  ipv6: { iptables: "ip6tables", save: "ip6tables-save", restore: "ip6tables-restore" },
};

const TITLES: Readonly<Record<Family, string>> = { ipv4: "IPv4", ipv6: "IPv6" };

/** A shell script that does the same as `--apply`, each rule with its reason; it may run any number of times. */
export function renderScript(sets: readonly RuleSet[]): string {
  const lines = [
    "#!/bin/sh",
    "# Redirects TCP connections to the sidecar. Run as root; `vespid intercept --cleanup` undoes it.",
    "set -e",
  ];
  for (const set of sets) {
    const { iptables, restore } = PROGRAMS[set.family];
    lines.push("", `# ${TITLES[set.family]}: the chains, all at once. A chain that is there already is replaced.`);
    lines.push(`${restore} --noflush <<'RULES'`, ...renderChains(set, true), "RULES");
    lines.push("# The jumps to them, where they are missing.");
    for (const { chain, match, why } of set.jumps) {
      lines.push(`# ${why}`);
      lines.push(`${iptables} -t nat -C ${chain} ${match} 2>/dev/null || ${iptables} -t nat -A ${chain} ${match}`);
    }
    if (set.family === "ipv6") {
      lines.push("# The address from which the proxy calls its own application; IPv6 has only ::1 of itself.");
      lines.push(`ip -6 addr replace ${INBOUND_SOURCE.ipv6}/128 dev lo`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function renderChains(set: RuleSet, withReasons: boolean, between: readonly string[] = []): readonly string[] {
  return [
    "*nat",
    // With --noflush, naming a chain of one's own makes it, or empties it.
    ...set.chains.map((chain) => `:${chain} - [0:0]`),
    ...between,
    ...set.rules.flatMap((rule) => [...(withReasons ? [`# ${rule.why}`] : []), renderRule(rule)]),
    "COMMIT",
  ];
}

/** Input for iptables-restore --noflush that replaces whatever of ours `saved` (iptables-save) holds: one transaction. */
export function renderApply(set: RuleSet, saved: string): string {
  const old = readOwn(saved).get("nat");
  const stale = (old?.chains ?? []).filter((chain) => !set.chains.includes(chain));
  const lines = renderChains(set, false, [
    ...(old?.jumps ?? []).map((jump) => jump.replace(/^-A/u, "-D")),
    ...stale.map((chain) => `-F ${chain}`),
    ...stale.map((chain) => `-X ${chain}`),
    ...set.jumps.map(renderRule),
  ]);
  return `${lines.join("\n")}\n`;
}

/** Input for iptables-restore --noflush that takes away everything of ours; empty where there is nothing. */
export function renderCleanup(saved: string): string {
  const lines: string[] = [];
  for (const [table, { chains, jumps }] of readOwn(saved)) {
    if (chains.length === 0) continue;
    lines.push(
      `*${table}`,
      ...jumps.map((jump) => jump.replace(/^-A/u, "-D")),
      ...chains.map((chain) => `-F ${chain}`),
      ...chains.map((chain) => `-X ${chain}`),
      "COMMIT",
    );
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** What of ours a table holds: to compare before with after. */
export function renderOwn(saved: string): string {
  const lines: string[] = [];
  for (const [table, own] of readOwn(saved)) if (own.lines.length > 0) lines.push(`*${table}`, ...own.lines);
  return lines.join("\n");
}

interface OwnRules {
  readonly chains: string[];
  /** Rules of chains that are not ours, which lead to ours: `-A OUTPUT -j ISTIO_OUTPUT`. */
  readonly jumps: string[];
  readonly lines: string[];
}

/** Reads iptables-save: `*table`, `:CHAIN POLICY [counters]`, `-A CHAIN …`, `COMMIT`. */
function readOwn(saved: string): ReadonlyMap<string, OwnRules> {
  const tables = new Map<string, OwnRules>();
  let own: OwnRules = { chains: [], jumps: [], lines: [] };
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) {
      own = { chains: [], jumps: [], lines: [] };
      tables.set(line.slice(1).trim(), own);
    }
    const chain = /^:(\S+)/u.exec(line)?.[1] ?? /^-A (\S+)/u.exec(line)?.[1] ?? "";
    const target = /^-A .* -[jg] (\S+)/u.exec(line)?.[1] ?? "";
    if (line.startsWith(":") && OWN_CHAIN.test(chain)) own.chains.push(chain);
    if (!OWN_CHAIN.test(chain) && !OWN_CHAIN.test(target)) continue;
    if (line.startsWith("-A")) own.lines.push(line);
    if (line.startsWith("-A") && !OWN_CHAIN.test(chain)) own.jumps.push(line);
  }
  return tables;
}

function renderRule({ chain, match }: Rule): string {
  return `-A ${chain} ${match}`;
}
