// A snapshot reaches all workers or none: each builds it beside the one that serves, and only when all have does each swap.
// One builds it first, so that a snapshot that kills who builds it costs one worker and not every one.
import type { Problem } from "../contract/problem.ts";
import type { Plan } from "./member.ts";

/** A worker, as far as a roll-out goes. */
export interface Recipient {
  readonly name: string;
  /** It is there, and may be given snapshots. */
  readonly isLive: boolean;
  prepare(
    plan: Plan,
    withinMs: number,
  ): Promise<{ readonly id: number; readonly problems: readonly Problem[] } | undefined>;
  commit(id: number, withinMs: number): Promise<boolean>;
  discard(id: number): void;
}

export interface RollOutOptions {
  /** Who has to run it now; asked again after each round, since one may have come meanwhile. */
  readonly recipients: () => readonly Recipient[];
  /** All have built it: from now on it is what a worker that comes is given. */
  readonly decided: () => void;
}

/** Fetching a bundle may take four attempts of 30 s each; control waits 300 s for an answer. */
export const PREPARE_WITHIN_MS = 240_000;
/** A swap is a few assignments; a worker that does not get to it is stalled, and will be replaced. */
const COMMIT_WITHIN_MS = 10_000;

/** Answers with every problem of it, once each; with any, nothing was changed anywhere. */
export async function rollOut(plan: Plan, { recipients, decided }: RollOutOptions): Promise<readonly Problem[]> {
  const prepared = new Map<Recipient, number>();
  const refuse = (problems: readonly Problem[]): readonly Problem[] => {
    for (const [recipient, id] of prepared) recipient.discard(id);
    return problems;
  };
  for (;;) {
    const missing = recipients().filter((recipient) => recipient.isLive && !prepared.has(recipient));
    if (missing.length === 0) break;
    const isFirst = prepared.size === 0;
    const asked = isFirst ? missing.slice(0, 1) : missing;
    const answers = await Promise.all(asked.map((recipient) => recipient.prepare(plan, PREPARE_WITHIN_MS)));
    const problems: Problem[] = [];
    for (const [index, recipient] of asked.entries()) {
      const answer = answers[index];
      if (answer !== undefined) {
        prepared.set(recipient, answer.id);
        problems.push(...answer.problems);
      } else if (isFirst || recipient.isLive) {
        problems.push({ path: plan.at, message: `${recipient.name} did not survive building it, or took too long` });
      }
    }
    if (problems.length > 0) return refuse(distinct(problems));
  }
  if (prepared.size === 0) return [{ path: plan.at, message: "no worker is there to build it" }];
  decided();
  await Promise.all([...prepared].map(([recipient, id]) => recipient.commit(id, COMMIT_WITHIN_MS)));
  return [];
}

/** Workers find the same; it is told once. */
function distinct(problems: readonly Problem[]): readonly Problem[] {
  return [...new Map(problems.map((problem) => [`${problem.path}\0${problem.message}`, problem])).values()];
}
