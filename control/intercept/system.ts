// The rules of this machine, or of the network namespace that we run in: read, replaced and taken away with the system's
// own iptables. Nothing is changed before every family's rules were tested.
import { existsSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { Problem } from "../../runtime/contract/problem.ts";
import { PROGRAMS, renderApply, renderCleanup, renderOwn } from "./render.ts";
import { INBOUND_SOURCE, type Family, type RuleSet } from "./rules.ts";

/** How long another program may hold the lock of iptables, seconds. */
const LOCK_WAIT_S = "5";

/** What was done to one family. */
export interface FamilyChange {
  readonly family: Family;
  /** Whether the rules are other ones than before. */
  readonly changed: boolean;
  /** Ours after the change, as iptables-save prints them. */
  readonly rules: readonly string[];
}

export type Changed =
  | { readonly ok: true; readonly changes: readonly FamilyChange[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** The families that this system speaks. */
export function systemFamilies(): readonly Family[] {
  const hasIpv6 = existsSync("/proc/net/if_inet6") && readFileSync("/proc/net/if_inet6", "latin1").trim() !== "";
  return hasIpv6 ? ["ipv4", "ipv6"] : ["ipv4"];
}

/** Replaces whatever of ours is there by these rules. Applied again, nothing changes. */
export function applyRules(sets: readonly RuleSet[]): Changed {
  return change(
    sets.map(({ family }) => family),
    (family, saved) => {
      const set = sets.find((each) => each.family === family);
      return set === undefined ? "" : renderApply(set, saved);
    },
    addInboundSource,
  );
}

/** Takes away everything of ours, and what Istio's tool made under the same names. */
export function removeRules(families: readonly Family[]): Changed {
  return change(families, (_, saved) => renderCleanup(saved), removeInboundSource);
}

function change(
  families: readonly Family[],
  render: (family: Family, saved: string) => string,
  setSource: () => Problem | undefined,
): Changed {
  const plans: { family: Family; before: string; input: string }[] = [];
  for (const family of families) {
    const saved = run([PROGRAMS[family].save]);
    if (!saved.ok) return { ok: false, problems: [saved.problem] };
    const input = render(family, saved.output);
    plans.push({ family, before: renderOwn(saved.output), input });
  }
  for (const mode of [["--test"], []]) {
    for (const { family, input } of plans.filter((plan) => plan.input !== "")) {
      const restored = run([PROGRAMS[family].restore, "--noflush", "-w", LOCK_WAIT_S, ...mode], input);
      if (!restored.ok) return { ok: false, problems: [restored.problem] };
    }
  }
  const source = families.includes("ipv6") ? setSource() : undefined;
  if (source !== undefined) return { ok: false, problems: [source] };
  const changes: FamilyChange[] = [];
  for (const { family, before } of plans) {
    const saved = run([PROGRAMS[family].save]);
    if (!saved.ok) return { ok: false, problems: [saved.problem] };
    const after = renderOwn(saved.output);
    changes.push({ family, changed: before !== after, rules: after === "" ? [] : after.split("\n") });
  }
  return { ok: true, changes };
}

function addInboundSource(): Problem | undefined {
  if (hasInboundSource()) return undefined;
  const added = run(["ip", "-6", "addr", "add", `${INBOUND_SOURCE.ipv6}/128`, "dev", "lo"]);
  return added.ok ? undefined : added.problem;
}

function removeInboundSource(): Problem | undefined {
  if (!hasInboundSource()) return undefined;
  const removed = run(["ip", "-6", "addr", "del", `${INBOUND_SOURCE.ipv6}/128`, "dev", "lo"]);
  return removed.ok ? undefined : removed.problem;
}

function hasInboundSource(): boolean {
  return (networkInterfaces()["lo"] ?? []).some(({ address }) => address === INBOUND_SOURCE.ipv6);
}

type Ran = { readonly ok: true; readonly output: string } | { readonly ok: false; readonly problem: Problem };

function run(command: readonly string[], input = ""): Ran {
  const [name = ""] = command;
  // A plain user's PATH leaves sbin out.
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  const program = Bun.which(name, { PATH: path });
  if (program === null) {
    const fix =
      name === "ip"
        ? "install iproute2"
        : name.startsWith("ip6")
          ? "install iptables, or leave IPv6 out with --ip-family ipv4"
          : "install iptables";
    return { ok: false, problem: { path: name, message: `is not on this system; ${fix} (Debian: apt-get install)` } };
  }
  const child = Bun.spawnSync([program, ...command.slice(1)], {
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  if (child.exitCode === 0) return { ok: true, output: child.stdout.toString() };
  const said = child.stderr.toString().trim().split("\n").slice(0, 5).join("; ");
  const isPermission = /permission denied|must be root|operation not permitted/iu.test(said);
  const fix = isPermission
    ? "; run this as root (it needs CAP_NET_ADMIN), or print the rules and have root run them"
    : "";
  return { ok: false, problem: { path: name, message: `ended with ${child.exitCode}: ${said}${fix}` } };
}
