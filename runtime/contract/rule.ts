// Which exchanges an adapter hears of, and what of them: Mixer's rules, with its instances written where they are used.
import { z } from "zod";
import { AdapterPhase, phaseOf, phasesOf, type Adapter, type AdapterBackend } from "./adapter.ts";
import type { InstanceType, Manifest } from "./bundle.ts";
import { attributesIn, parseExpression } from "./expression.ts";
import type { Problem } from "./problem.ts";
import { VOCABULARY, type ValueType } from "./vocabulary.ts";

/** Text of an expression; a number or a boolean of YAML stands for itself. */
export const ExpressionText = z
  .union([z.string(), z.number(), z.boolean()])
  .transform((value) => String(value))
  .superRefine((text, context) => {
    const parsed = parseExpression(text);
    if (!parsed.ok) context.addIssue({ code: "custom", message: parsed.error });
  });

/** What one adapter is told of an exchange. */
export const Action = z.strictObject({
  /** Name of an adapter of the snapshot. */
  adapter: z.string().min(1),
  /** What it is asked or told for, where the adapter is for several. Default: the one that it is for. */
  phase: AdapterPhase.optional(),
  /** Name of the instance: the metric, the quota, the log. Default: the rule's. */
  name: z.string().min(1).max(200).optional(),
  /** What is looked up in a list, measured, or charged. Default `1` where it is a number. */
  value: ExpressionText.optional(),
  /** What else is told: dimensions, labels, fields of a log, a policy's input. What is absent of an exchange is left out. */
  attributes: z.record(z.string().min(1).max(200), ExpressionText).default({}),
  /** Of a quota: as much as there is will do, where the whole amount is not there. Default `false`. */
  bestEffort: z.boolean().default(false),
});
export type Action = z.infer<typeof Action>;

/** Exchanges that match, and who is told of them. */
export const Rule = z.strictObject({
  /** Unique in its direction. */
  name: z.string().min(1).max(320),
  /** A boolean expression. Default: every exchange. One whose attributes are absent does not match. */
  match: ExpressionText.optional(),
  /** Checks and quotas run in this order, the first refusal ends it. */
  actions: z.array(Action).min(1).max(50),
});
export type Rule = z.infer<typeof Rule>;

const NUMBERS: readonly ValueType[] = ["int", "double", "duration"];
const TEXTS: readonly ValueType[] = ["string", "ip", "dns_name", "email", "uri"];
/** Of what types the value of each kind may be; a kind that is not here has none. */
const VALUES: Readonly<Partial<Record<AdapterBackend["kind"], readonly ValueType[]>>> = {
  list: TEXTS,
  redis_quota: ["int"],
  statsd: NUMBERS,
  otlp: NUMBERS,
  stdout: [...NUMBERS, "string", "bool"],
  fluentd: [...NUMBERS, "string", "bool"],
};
/** What an adapter of one's own takes for each of its types. */
const INSTANCE_VALUES: Readonly<Record<InstanceType, readonly ValueType[]>> = {
  string: [...TEXTS, "timestamp"],
  number: NUMBERS,
  boolean: ["bool"],
  map: ["map"],
};

/** What a rule's schema cannot say: that its adapters are there, and that types and times fit. Paths begin with `path`. */
export function checkRule(rule: Rule, adapters: ReadonlyMap<string, Adapter>, path: string): readonly Problem[] {
  const problems: Problem[] = [];
  const at = (field: string) => (path === "" ? field : `${path}.${field}`);
  const matchType = rule.match === undefined ? "bool" : typeOf(rule.match);
  if (matchType !== "bool") problems.push({ path: at("match"), message: `is of type ${matchType}, must be bool` });
  let isBefore = false;
  rule.actions.forEach((action, index) => {
    const own = at(`actions[${index}]`);
    const adapter = adapters.get(action.adapter);
    if (adapter === undefined) {
      problems.push({ path: `${own}.adapter`, message: `there is no adapter ${JSON.stringify(action.adapter)}` });
      return;
    }
    problems.push(...checkAction(action, adapter, own));
    const phase = phaseOf(adapter.backend, action);
    if (phase === undefined || phase === "report") return;
    isBefore = true;
    for (const [field, text] of expressionsOf(action)) problems.push(...checkKnown(text, `${own}.${field}`));
  });
  if (isBefore && rule.match !== undefined) problems.push(...checkKnown(rule.match, at("match")));
  return problems;
}

function checkAction(action: Action, { name: adapter, backend }: Adapter, path: string): readonly Problem[] {
  const { value, bestEffort, name } = action;
  const phase = phaseOf(backend, action);
  if (phase === undefined) return [checkPhase(action, adapter, backend, path)];
  const problems: Problem[] = [];
  const takes = valuesOf(backend, phase);
  if (value === undefined) {
    if (backend.kind === "list") problems.push({ path: `${path}.value`, message: "is required: it is looked up" });
  } else if (takes === undefined) {
    problems.push({
      path: `${path}.value`,
      message: `is not used by ${backend.kind === "filter" ? adapter : backend.kind}`,
    });
  } else if (!takes.includes(typeOf(value))) {
    problems.push({ path: `${path}.value`, message: mismatch(value, takes) });
  }
  if (backend.kind === "redis_quota" && (name === undefined || !Object.hasOwn(backend.quotas, name))) {
    const message = `must be the name of one of its quotas: ${Object.keys(backend.quotas).join(", ")}`;
    problems.push({ path: `${path}.name`, message });
  }
  if (bestEffort && phase !== "quota") problems.push({ path: `${path}.bestEffort`, message: "is for quotas" });
  if (backend.kind === "filter") problems.push(...checkAttributes(action, adapter, backend.bundle.manifest, path));
  return problems;
}

/** Why it is not known what the adapter is asked or told for. */
function checkPhase({ phase }: Action, adapter: string, backend: AdapterBackend, path: string): Problem {
  const phases = phasesOf(backend);
  const known = phases.join(" and ");
  if (phase !== undefined) return { path: `${path}.phase`, message: `is ${phase}, and ${adapter} is for ${known}` };
  return phases.length === 0
    ? { path: `${path}.adapter`, message: `${adapter} has no handler of check, quota or report` }
    : { path: `${path}.phase`, message: `is required: ${adapter} is for ${known}, name one of them` };
}

/** Of what types the value may be; `undefined` where there is none. */
function valuesOf(backend: AdapterBackend, phase: AdapterPhase): readonly ValueType[] | undefined {
  if (backend.kind !== "filter") return VALUES[backend.kind];
  if (phase === "quota") return ["int"];
  const { instance } = backend.bundle.manifest;
  // One that says nothing of types takes any, as text.
  if (instance === undefined) return Object.values(INSTANCE_VALUES).flat();
  return instance.value === undefined ? undefined : INSTANCE_VALUES[instance.value];
}

/** An adapter of one's own names what it reads: another name is one that nobody would hear of. */
function checkAttributes(
  { attributes }: Action,
  adapter: string,
  { reads, instance }: Manifest,
  path: string,
): readonly Problem[] {
  const problems: Problem[] = [];
  for (const [name, text] of Object.entries(attributes)) {
    const at = `${path}.attributes[${JSON.stringify(name)}]`;
    // A name may be one that every object has.
    const type = instance && Object.hasOwn(instance.attributes, name) ? instance.attributes[name] : undefined;
    if (!reads.includes(name)) {
      const known = reads.length === 0 ? "it reads none" : `it reads ${reads.join(", ")}`;
      problems.push({ path: at, message: `is not read by ${adapter}; ${known}` });
    } else if (type !== undefined && !INSTANCE_VALUES[type].includes(typeOf(text))) {
      problems.push({ path: at, message: mismatch(text, INSTANCE_VALUES[type]) });
    }
  }
  return problems;
}

function mismatch(text: string, takes: readonly ValueType[]): string {
  return `is of type ${typeOf(text)}, must be ${takes.join(" or ")}`;
}

/** Before the request goes on nothing of its end is known. */
function checkKnown(text: string, path: string): readonly Problem[] {
  const parsed = parseExpression(text);
  if (!parsed.ok) return [];
  return attributesIn(parsed.value.expression)
    .filter((name) => VOCABULARY.get(name)?.known === "end")
    .map((name) => ({ path, message: `${name} is not known before the request goes on, when checks and quotas run` }));
}

function expressionsOf({ value, attributes }: Action): readonly (readonly [string, string])[] {
  const named = Object.entries(attributes).map(
    ([name, text]) => [`attributes[${JSON.stringify(name)}]`, text] as const,
  );
  return value === undefined ? named : [["value", value], ...named];
}

function typeOf(text: string): ValueType {
  const parsed = parseExpression(text);
  return parsed.ok ? parsed.value.type : "string";
}
