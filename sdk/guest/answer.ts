// Answers by the grammar in filter.wit.
import { renderEdits } from "vespid:engine";
import host from "vespid:filter/host@2.0.0";
import type { AdapterAnswer } from "../adapter-answer.ts";
import { bytesOf } from "../content.ts";
import { describeError } from "../describe-error.ts";
import type { MessageBody } from "../body.ts";
import type { RecordMetric } from "../metric.ts";
import { fieldsOf, type Verdict } from "../verdict.ts";
import type { Side } from "../wit/world.ts";
import { after } from "./after.ts";

/** What a verdict is rendered with. */
export interface Answered {
  readonly call: number;
  /** Kind, name and value of each edit. */
  readonly edits: readonly string[];
  readonly body: MessageBody | undefined;
  /** Where the message's body goes. */
  readonly to: Side;
}

/** Measurements since the last answer, as lines. */
let metrics = "";
/** What was counted since: a call about many frames counts the same thing many times. */
const counts = new Map<string, Count>();
let hasCounts = false;

interface Count {
  readonly name: string;
  readonly labels: readonly string[];
  value: number;
}

/** Adds a measurement to the next answer. */
export const addMetric: RecordMetric = (name, value, labels, kind) => {
  after.isDue = true;
  // What the host would not count must not be taken off what it does.
  if (kind === "counter" && value >= 0) {
    const key = `${name} ${labels.join("\n")}`;
    const known = counts.get(key);
    if (known === undefined) {
      counts.set(key, { name, labels, value });
      hasCounts = true;
      return;
    }
    // Two lists that read alike are not the same.
    if (labels.every((label, index) => label === known.labels[index])) {
      known.value += value;
      return;
    }
  }
  metrics += renderMetric(name, value, labels);
};

function renderMetric(name: string, value: number, labels: readonly string[]): string {
  return `metric ${JSON.stringify([name, value, ...labels])}\n`;
}

function renderCounts(): void {
  for (const { name, value, labels } of counts.values()) metrics += renderMetric(name, value, labels);
  counts.clear();
  hasCounts = false;
}

/** An answer with the measurements that go with it. */
export function withMetrics(answer: string): string {
  after.isDue = false;
  if (hasCounts) renderCounts();
  if (metrics === "") return answer;
  const all = metrics + answer;
  metrics = "";
  return all;
}

/** The answer of a call that looked at something and decides nothing. */
export const PROCEED = "proceed\n";

/** The verdict with its edits. What a handler returned may be anything. */
export function renderVerdict(verdict: unknown, { call, edits, body, to }: Answered): string {
  const given = verdict ?? undefined;
  if (given !== undefined && !isVerdict(given))
    return renderFailed("the handler returned something that is not a verdict");
  if (given?.kind === "reply") return renderReply(given, call);
  let answer = renderEdits(PROCEED, edits);
  if (body?.replacement !== undefined) {
    host.emit(call, to, body.replacement);
    answer += "body emitted\n";
  }
  if (body?.transformation !== undefined) answer += "body stream\n";
  return given?.cacheMs === undefined ? answer : answer + renderCache(given.cacheMs);
}

function renderReply(verdict: Extract<Verdict, { kind: "reply" }>, call: number): string {
  let answer = `reply ${verdict.status}\n`;
  for (const [name, value] of fieldsOf(verdict)) {
    if (name.includes("\n") || value.includes("\n")) return renderFailed(`${name}: a field holds no line break`);
    answer += `add ${name}: ${value}\n`;
  }
  const { body = "", cacheMs } = verdict;
  if (cacheMs !== undefined) answer += renderCache(cacheMs);
  if (body.length === 0) return answer;
  if (typeof body === "string") return `${answer}\n${body}`;
  host.emit(call, "downstream", bytesOf(body));
  return `${answer}body emitted\n`;
}

/** What an adapter answered, which `defineAdapter` has checked. */
export function renderAdapterAnswer(answer: AdapterAnswer): string {
  const { validForMs, validUses } = answer;
  let options = validForMs === 0 ? "" : renderCache(validForMs);
  if (validUses !== undefined) options += `uses ${validUses}\n`;
  if (answer.kind === "proceed")
    return answer.granted === undefined ? PROCEED + options : `${PROCEED}granted ${answer.granted}\n${options}`;
  const fields = answer.fields.map(([name, value]) => `add ${name}: ${value}\n`).join("");
  return `reply ${answer.status}\n${fields}${options}\n${answer.message}`;
}

function renderCache(cacheMs: number): string {
  return `cache ${Math.max(0, Math.round(cacheMs))}\n`;
}

/** The filter gave up. An error comes with where it was thrown. */
export function renderFailed(error: unknown): string {
  return `failed ${describeError(error)}`;
}

function isVerdict(value: unknown): value is Verdict {
  return (
    typeof value === "object" &&
    value !== null &&
    "kind" in value &&
    (value.kind === "proceed" || value.kind === "reply")
  );
}
