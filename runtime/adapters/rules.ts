// The rules of one direction, compiled: what stands in the chain, and what stands around everything.
import type { Filter } from "../chain/filter.ts";
import type { Parsed, Problem } from "../contract/problem.ts";
import type { Rule } from "../contract/rule.ts";
import type { Clock, Layer } from "../exchange/exchange.ts";
import { compileAttributes, type OwnWorkload } from "../expression/attributes.ts";
import { compilePattern } from "../host/linear-pattern.ts";
import { compileDispatch, type NamedAdapter } from "./dispatch.ts";
import type { RuleSurroundings } from "./instance.ts";
import { compileReports } from "./report.ts";

/** What rules became; either is `undefined` where no rule needs it. */
export interface CompiledRules {
  /** Asks before a request goes on. */
  readonly dispatch: Filter | undefined;
  /** Tells of an exchange at its end. */
  readonly reports: Layer | undefined;
}

export const NO_RULES: CompiledRules = { dispatch: undefined, reports: undefined };

/** Compiles rules that the snapshot's schema has checked, or says which patterns RE2 does not take. */
export function compileRules(
  rules: readonly Rule[],
  adapters: ReadonlyMap<string, NamedAdapter>,
  own: OwnWorkload,
  clock: Clock,
): Parsed<CompiledRules> {
  if (rules.length === 0) return { ok: true, value: NO_RULES };
  const problems: Problem[] = [];
  const surroundings: RuleSurroundings = {
    attribute: compileAttributes(own),
    pattern: (source) => {
      const pattern = compilePattern(source, "");
      if (pattern.ok) return (text) => pattern.value.matcher(text).find();
      problems.push({ path: "", message: `${JSON.stringify(source)} is not a pattern: ${pattern.error}` });
      return () => false;
    },
  };
  const dispatch = compileDispatch(rules, adapters, surroundings);
  const reports = compileReports(rules, adapters, surroundings, clock);
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: { dispatch, reports } };
}
