// A manifest as people read it: what a filter may see, change, call and keep. Pure.
import { adapterPhasesOf } from "../../runtime/contract/adapter.ts";
import type { Manifest } from "../../runtime/contract/bundle.ts";

/** One fact a line. */
export function renderManifest(manifest: Manifest): readonly string[] {
  const { name, upstreams, metrics, timers, isolation } = manifest;
  const isAdapter = adapterPhasesOf(manifest).length > 0;
  const facts: readonly (readonly [string, string])[] = [
    ...(isAdapter ? factsOfAdapter(manifest) : factsOfFilter(manifest)),
    ["calls", listOf(upstreams, "nobody")],
    [
      "measures",
      listOf(
        metrics.map(({ name: metric, kind, labels }) => `${metric} (${[kind, ...labels].join(", ")})`),
        "nothing of its own",
      ),
    ],
    [
      "ticks",
      listOf(
        timers.map(({ name: timer }) => `every ${timer}`),
        "never",
      ),
    ],
    ["instances", isolation === "request" ? "one for each exchange" : "one for all exchanges of a worker"],
    ["config", listOf(configOf(manifest.configSchema), "takes none")],
  ];
  return [name, ...facts.map(([what, text]) => `  ${what.padEnd(10)}${text}`)];
}

function factsOfFilter({
  stage,
  phases,
  reads,
  writes,
  body,
  cacheable,
}: Manifest): readonly (readonly [string, string])[] {
  return [
    ["runs", `in stage ${stage}, at ${phases.join(", ")}`],
    ["reads", listOf(reads, "no headers, no attributes")],
    ["writes", listOf(writes, "nothing")],
    ["bodies", `of requests ${BODY[body.request]}, of replies ${BODY[body.response]}`],
    ["verdicts", cacheable ? "may be kept for heads that are alike" : "are asked for each time"],
  ];
}

/** What a rule's actions may give it, and for what. */
function factsOfAdapter(manifest: Manifest): readonly (readonly [string, string])[] {
  const { reads, instance } = manifest;
  const typed = reads.map((name) => `${name} (${instance?.attributes[name] ?? "any, as text"})`);
  const value = instance === undefined ? "any, as text" : (instance.value ?? "takes none");
  return [
    ["is for", listOf(adapterPhasesOf(manifest), "nothing")],
    ["reads", listOf(typed, "no attributes of actions")],
    ["value", value],
  ];
}

const BODY = { none: "not at all", buffer: "whole", stream: "piece by piece" } as const;

function listOf(list: readonly string[], none: string): string {
  return list.length === 0 ? none : list.map((item) => (item === "*" ? "* (every field)" : item)).join(", ");
}

/** Fields of the configuration with their types, those that must be given marked. */
function configOf(schema: Manifest["configSchema"]): readonly string[] {
  const { properties, required } = schema;
  if (typeof properties !== "object" || properties === null) return [];
  const needed = new Set(Array.isArray(required) ? required : []);
  return Object.entries(properties).map(([field, of]: [string, unknown]) => {
    const type = typeof of === "object" && of !== null && "type" in of ? String(of.type) : "any";
    const fallback =
      typeof of === "object" && of !== null && "default" in of ? `, default ${JSON.stringify(of.default)}` : "";
    return `${field}${needed.has(field) && fallback === "" ? "*" : ""} (${type}${fallback})`;
  });
}
