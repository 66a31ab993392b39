// What a test asks and tells an adapter, and what came of it.
import { ANY_USES, type AdapterReply } from "../../runtime/chain/adapter-calls.ts";
import { isGranted } from "../../runtime/adapters/filter.ts";
import { renderInstance } from "../../runtime/adapters/instance-lines.ts";
import type { AdapterPhase } from "../../runtime/contract/adapter.ts";
import type { AnyFilter } from "../define-filter.ts";
import type { InstanceType } from "../instance.ts";
import type { LogLine } from "./outcome.ts";

type TestValue = string | number | boolean | Readonly<Record<string, string>>;

/** What a rule's action would say of an exchange. */
export interface TestInstance {
  /** The action's, or its rule's. Default `test`. */
  readonly name?: string;
  readonly value?: string | number | boolean;
  /** Those that the adapter reads, of the types that it declares. */
  readonly attributes?: Readonly<Record<string, TestValue>>;
}

/** What is charged. */
export interface TestCharge extends Omit<TestInstance, "value"> {
  /** Default `1`. */
  readonly amount?: number;
  /** Any part of it will do. Default `false`. */
  readonly isBestEffort?: boolean;
}

/** What became of it. */
export interface AskedOutcome {
  /** `allow` of a report: it was taken. `refuse`: the client is turned away; of a report, it is dropped. `failed`: the failure policy decides; a report is told again. */
  readonly verdict: "allow" | "refuse" | "failed";
  /** How much of a charge may be had; `0` where it is refused, and of what is no charge. */
  readonly granted: number;
  /** What the client gets where it is turned away. */
  readonly reply:
    | { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }
    | undefined;
  /** How long the answer holds for the same instance; `0`: this once. */
  readonly validForMs: number;
  /** For how many uses; `undefined`: any number. */
  readonly validUses: number | undefined;
  /** Why it failed, with the line of the author's file. */
  readonly failure: string | undefined;
  /** Lines that were written meanwhile. */
  readonly logs: readonly LogLine[];
  /** `0` on engine `source`. */
  readonly fuel: number;
}

/** One question or report, ready to be put to an engine. */
export interface Asking {
  readonly phase: AdapterPhase;
  readonly lines: string;
  /** Of a charge. */
  readonly amount: number;
  readonly isBestEffort: boolean;
}

/** A check as a proxy would ask it. Throws what control would refuse of the rule. */
export function checkOf(filter: AnyFilter, instance: TestInstance): Asking {
  return { phase: "check", lines: linesOf(filter, instance), amount: 1, isBestEffort: false };
}

export function quotaOf(filter: AnyFilter, { amount = 1, isBestEffort = false, ...instance }: TestCharge): Asking {
  if (!Number.isSafeInteger(amount) || amount < 1)
    throw new TypeError(`amount: ${amount} is not a whole number of 1 or more; a proxy asks for no other`);
  checkAttributes(filter, instance);
  const { name = "test", attributes = {} } = instance;
  const lines = renderInstance({ name, value: amount, attributes }, filter.reads, isBestEffort);
  return { phase: "quota", lines, amount, isBestEffort };
}

export function reportOf(filter: AnyFilter, instances: readonly TestInstance[]): Asking {
  const lines = instances.map((instance) => `${linesOf(filter, instance)}\n`).join("");
  return { phase: "report", lines, amount: 1, isBestEffort: false };
}

/** What a proxy makes of the answer. */
export function askedOutcome(
  { phase, amount, isBestEffort }: Asking,
  reply: AdapterReply,
  { logs, explain }: { readonly logs: readonly LogLine[]; readonly explain: (message: string) => string },
): AskedOutcome {
  const { fuel } = reply;
  const nothing = { granted: 0, reply: undefined, validForMs: 0, validUses: undefined, failure: undefined, logs, fuel };
  if (reply.kind === "lost") return { ...nothing, verdict: "failed", failure: "nobody waits for it any more" };
  if (reply.kind === "failed") return { ...nothing, verdict: "failed", failure: explain(reply.message) };
  const { validForMs } = reply;
  const keeping = { validForMs, validUses: reply.validUses === ANY_USES ? undefined : reply.validUses };
  if (reply.kind === "reply") {
    const { status, headers, body } = reply.parts;
    return {
      ...nothing,
      ...keeping,
      verdict: "refuse",
      reply: { status, headers: Object.fromEntries(headers), body: String(body) },
    };
  }
  const granted = phase === "quota" ? (reply.granted ?? amount) : 0;
  if (phase !== "quota" || isGranted(granted, amount, isBestEffort))
    return { ...nothing, ...keeping, verdict: "allow", granted: Math.min(granted, amount) };
  return { ...nothing, ...keeping, verdict: "refuse", reply: { status: 429, headers: {}, body: "" } };
}

function linesOf(filter: AnyFilter, instance: TestInstance): string {
  checkAttributes(filter, instance);
  const { name = "test", value, attributes = {} } = instance;
  return renderInstance({ name, value, attributes }, filter.reads);
}

/** As control checks a rule's expressions: a test must not pass on what no rule can give. */
function checkAttributes({ name, instance }: AnyFilter, { value, attributes = {} }: TestInstance): void {
  if (instance === undefined) throw new Error(`filter ${name} is no adapter, and is asked nothing`);
  for (const [attribute, given] of Object.entries(attributes)) {
    const type = Object.hasOwn(instance.attributes, attribute) ? instance.attributes[attribute] : undefined;
    const known = Object.keys(instance.attributes).join(", ") || "none";
    if (type === undefined) throw new TypeError(`attributes.${attribute} is not read by ${name}, which reads ${known}`);
    if (typeOf(given) !== type) throw new TypeError(`attributes.${attribute} is a ${typeOf(given)}, must be a ${type}`);
  }
  if (value === undefined) return;
  if (instance.value === undefined)
    throw new TypeError(`value is not taken by ${name}; declare its type: value: "string"`);
  if (typeOf(value) !== instance.value) throw new TypeError(`value is a ${typeOf(value)}, must be a ${instance.value}`);
}

function typeOf(value: TestValue): InstanceType {
  if (typeof value === "object") return "map";
  return typeof value === "string" ? "string" : typeof value === "number" ? "number" : "boolean";
}
