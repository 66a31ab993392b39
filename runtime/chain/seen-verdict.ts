// Verdicts as people compare them: kind, status and edits, without the values of what is secret.
import type { SeenEdit, SeenVerdict } from "../contract/trial.ts";
import type { Body } from "../exchange/body.ts";
import type { Verdict } from "./filter.ts";
import type { Redactor } from "./secrets.ts";
import { TransformedBody } from "./transformed-body.ts";
import { summaryOf } from "./trial.ts";
import { compare, type Picture } from "./witness.ts";

/** A verdict with its edits as they were made, which are not shown before they are redacted. */
export interface Described {
  readonly seen: Omit<SeenVerdict, "edits">;
  readonly edits: readonly SeenEdit[];
}

const EDITS_MAX = 64;
const NAME_MAX_LENGTH = 256;
const VALUE_MAX_LENGTH = 256;
const REASON_MAX_LENGTH = 4096;

/** What a filter did between two pictures of an exchange. A reply's fields are told as edits. */
export function describeVerdict(
  verdict: Verdict,
  before: Picture,
  after: Picture,
  bodies: { readonly before: Body; readonly after: Body },
): Described {
  const body =
    bodies.before === bodies.after ? "kept" : bodies.after instanceof TransformedBody ? "transformed" : "touched";
  switch (verdict.kind) {
    case "proceed":
      return { seen: { verdict: "proceed", body }, edits: compare(before, after) };
    case "reply": {
      const { status, headers } = verdict.reply;
      const edits = [...headers].map(([name, value]) => ({ kind: "set" as const, name: name.toLowerCase(), value }));
      return { seen: { verdict: "reply", status, body: "kept" }, edits };
    }
    case "failed":
      return {
        seen: { verdict: "failed", reason: summaryOf(verdict.failure).slice(0, REASON_MAX_LENGTH), body: "kept" },
        edits: [],
      };
  }
}

/** Both verdicts, each with the edits that the other does not have, as they may be shown. */
export function differ(live: Described, candidate: Described, redactor: Redactor): readonly [SeenVerdict, SeenVerdict] {
  return [showOnly(live, candidate, redactor), showOnly(candidate, live, redactor)];
}

/** A verdict with all of its edits, values and all. */
export function showAll({ seen, edits }: Described): SeenVerdict {
  return { ...seen, edits: edits.slice(0, EDITS_MAX).map((edit) => cut(edit)) };
}

function showOnly({ seen, edits }: Described, other: Described, redactor: Redactor): SeenVerdict {
  const theirs = new Set(other.edits.map(keyOf));
  const own = edits.filter((edit) => !theirs.has(keyOf(edit))).slice(0, EDITS_MAX);
  // Before they are cut: half a secret is not found.
  return { ...seen, edits: own.map((edit) => cut({ ...edit, value: redactor.written(edit.name, edit.value) })) };
}

function keyOf({ kind, name, value }: SeenEdit): string {
  return `${kind} ${name}: ${value}`;
}

function cut({ kind, name, value }: SeenEdit): SeenEdit {
  return { kind, name: name.slice(0, NAME_MAX_LENGTH), value: value.slice(0, VALUE_MAX_LENGTH) };
}
