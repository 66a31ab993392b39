// A request's story as people read it. Pure.
import type { WitnessedEdit } from "../../runtime/chain/witness.ts";
import type { Story, StoryLine, StoryStep } from "./story.ts";

/** A line for the request, and one below it for each call of a filter and what it wrote. */
export function renderStory({ id, method, path, status, flags, tookMs, steps }: Story): string {
  const flagged = flags === "-" ? "" : ` ${flags}`;
  const head = `${method} ${path} → ${status}${flagged} in ${renderMs(tookMs)}  ${id}`;
  return [head, ...steps.filter((step) => !isEmpty(step)).flatMap((step) => renderStep(step))].join("\n");
}

/** A line that a filter wrote. */
export function renderLine({ level, message, fields }: StoryLine): string {
  const more = Object.entries(fields).map(
    ([name, value]) => ` ${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return `${level.padEnd(5)} ${indent(message)}${more.join("")}`;
}

/** A call after the request that went well says nothing. */
function isEmpty({ phase, outcome, logs }: StoryStep): boolean {
  return phase === "log" && outcome === "proceed" && logs.length === 0;
}

function renderStep({
  filter,
  phase,
  outcome,
  edits,
  body,
  failure,
  fuel,
  tookMs,
  logs,
}: StoryStep): readonly string[] {
  const cost = fuel === 0 ? renderMs(tookMs) : `${renderMs(tookMs)}, fuel ${fuel.toLocaleString("en")}`;
  const said = [
    ...edits.map(renderEdit),
    ...(body === "transformed" ? ["body in pieces"] : []),
    ...(body === "touched" ? ["body whole"] : []),
    ...(failure === undefined ? [] : [failure.replace(`filter ${filter}: `, "")]),
  ].join(", ");
  const head = `  ${filter} ${phase} ${outcome} (${cost})`;
  return [said === "" ? head : `${head}  ${indent(said)}`, ...logs.map((line) => `    ${renderLine(line)}`)];
}

function renderEdit({ kind, name, value }: WitnessedEdit): string {
  return kind === "remove" ? `remove ${name}` : `${kind} ${name}: ${value}`;
}

function renderMs(ms: number): string {
  return ms < 10 ? `${ms.toFixed(2)} ms` : `${Math.round(ms)} ms`;
}

function indent(text: string): string {
  return text.replaceAll("\n", "\n      ");
}
