// The adapters of a generation, and its rules over them. An adapter whose configuration did not change is shared with the
// generation before: its connections, what it has gathered and the answers that it keeps outlive a push.
import type { Adapters } from "./adapters/adapters.ts";
import type { NamedAdapter } from "./adapters/dispatch.ts";
import { compileRules, type CompiledRules } from "./adapters/rules.ts";
import type { Parsed, Problem } from "./contract/problem.ts";
import type { Snapshot } from "./contract/snapshot.ts";
import type { Clock } from "./exchange/exchange.ts";
import type { OwnWorkload } from "./expression/attributes.ts";
import type { Shared } from "./filter-shares.ts";

/** Adapters by fingerprint. */
export type AdapterShares = Map<string, Shared<NamedAdapter>>;

/** What building them needs from the proxy. */
export interface AdapterSharesDeps {
  readonly adapters: Adapters;
  /** Whom this proxy stands before. */
  readonly own: OwnWorkload;
  readonly clock: Clock;
}

/** The rules of both directions, and the adapters that they lead to. */
export interface BuiltRules {
  readonly shares: AdapterShares;
  readonly rules: Readonly<Record<"inbound" | "outbound", CompiledRules>>;
}

/** Builds what the generation before does not have; on any problem nothing of it stays. */
export async function buildRules(
  snapshot: Snapshot,
  deps: AdapterSharesDeps,
  previous: AdapterShares | undefined,
): Promise<Parsed<BuiltRules>> {
  const shares: AdapterShares = new Map();
  const problems: Problem[] = [];
  for (const [index, config] of snapshot.adapters.entries()) {
    const fingerprint = JSON.stringify(config);
    const known = previous?.get(fingerprint);
    // One after the other: they are few, and most are there already.
    // oxlint-disable-next-line no-await-in-loop
    const built = known === undefined ? await deps.adapters.build(config) : undefined;
    if (known !== undefined) shares.set(fingerprint, known);
    else if (built?.ok === true) shares.set(fingerprint, { value: { config, live: built.value }, holders: 0 });
    else problems.push(...place(built?.problems ?? [], `adapters[${index}]`));
  }
  const byName = new Map([...shares.values()].map(({ value }) => [value.config.name, value]));
  const compiled = {
    inbound: compileRules(snapshot.inbound.rules, byName, deps.own, deps.clock),
    outbound: compileRules(snapshot.outbound.rules, byName, deps.own, deps.clock),
  };
  const { inbound, outbound } = compiled;
  if (inbound.ok && outbound.ok && problems.length === 0)
    return { ok: true, value: { shares, rules: { inbound: inbound.value, outbound: outbound.value } } };
  for (const direction of ["inbound", "outbound"] as const) {
    const result = compiled[direction];
    if (!result.ok) problems.push(...place(result.problems, `${direction}.rules`));
  }
  discardAdapters(shares, deps.adapters);
  return { ok: false, problems };
}

/** Lets go of those that no generation holds. */
export function discardAdapters(shares: AdapterShares, adapters: Adapters): void {
  for (const shared of shares.values()) if (shared.holders === 0) adapters.stop(shared.value.live);
}

function place(problems: readonly Problem[], root: string): readonly Problem[] {
  return problems.map(({ path, message }) => ({ path: path === "" ? root : `${root}.${path}`, message }));
}
