// Our `Rule`: which exchanges of which proxies adapters hear of, and what of them.
import { z } from "zod";
import { Rule } from "../../runtime/contract/rule.ts";
import { Selector } from "./filter.ts";

/** `spec` of a `Rule`. Its adapters are of its own namespace, or of `istio-system`. */
export const RuleSpec = z.strictObject({
  selector: Selector,
  match: Rule.shape.match,
  actions: Rule.shape.actions,
});
export type RuleSpec = z.infer<typeof RuleSpec>;
