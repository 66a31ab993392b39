// Refuses whatever its rules match (Mixer's denier).
import { ONCE, type AdapterAnswer, type Backend, type BackendParts } from "./adapter.ts";
import { refusal } from "./refusal.ts";

/** A check that always says no. */
export function buildDeny({ name, config }: BackendParts<"deny">): Backend {
  const answer: AdapterAnswer = {
    kind: "refused",
    refusal: refusal({ adapter: name, status: config.status, message: config.message }),
    ...ONCE,
  };
  return { check: { ask: () => answer, keepsAnswers: false }, stop: () => Promise.resolve() };
}
