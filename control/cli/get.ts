// `vespid get` and `vespid delete`.
import { stringify } from "yaml";
import { z } from "zod";
import { KINDS, type Kind } from "../resource/resource.ts";
import type { Printed } from "./apply.ts";
import { deleteBundle, getBundles, isBundleKind } from "./bundles.ts";
import { ask, type Target } from "./client.ts";
import { fieldsOf, readDocuments } from "./documents.ts";
import { CommandFailure, EXIT } from "./failure.ts";
import { renderAge, renderTable } from "./table.ts";

const Resource = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string(),
    resourceVersion: z.string(),
    creationTimestamp: z.string(),
  }),
  spec: z.unknown(),
});
type Resource = z.infer<typeof Resource>;
const Page = z.object({ items: z.array(Resource), continue: z.string().optional() });
const Deleted = z.looseObject({ revision: z.number() });

const SHORT: Readonly<Record<string, Kind>> = { se: "ServiceEntry", dr: "DestinationRule", vs: "VirtualService" };

export interface GetOptions {
  /** Undefined: every namespace for a list, `default` for one resource. */
  readonly namespace: string | undefined;
  readonly output: "table" | "yaml" | "json";
  readonly nowMs: number;
}

/** One resource, or a list. */
export async function get(
  target: Target,
  kindText: string,
  name: string | undefined,
  options: GetOptions,
): Promise<Printed> {
  if (isBundleKind(kindText)) {
    const bundles = await getBundles(target, name, options.nowMs);
    return { ...bundles, lines: render(bundles.json, bundles.lines, options.output) };
  }
  const kind = parseKind(kindText);
  if (name === undefined) {
    const items = await listAll(target, kind, options.namespace);
    return print({ items }, items, options);
  }
  const path = addressOf(kind, options.namespace ?? "default", name);
  const item = await ask(target, Resource, { method: "GET", path });
  return print(item, [item], options);
}

/** One resource by its name. */
export async function remove(target: Target, kindText: string, name: string, namespace: string): Promise<Printed> {
  if (isBundleKind(kindText)) return deleteBundle(target, name);
  return deleteOne(target, parseKind(kindText), namespace, name);
}

/** Every resource that the files name, one after the other, last first, so that routes go before what they lead to. */
export async function removeFiles(target: Target, paths: readonly string[]): Promise<Printed> {
  const documents = await readDocuments(paths);
  const printed: Printed[] = [];
  for (const { source, document } of documents.toReversed()) {
    const { kind, metadata } = fieldsOf(document);
    const { name, namespace = "default" } = fieldsOf(metadata);
    if (typeof kind !== "string" || typeof name !== "string" || typeof namespace !== "string") {
      throw new CommandFailure(EXIT.refused, [`${source}: a document has no kind or no metadata.name`]);
    }
    // One after the other on purpose: the first that control refuses ends it.
    // oxlint-disable-next-line no-await-in-loop
    printed.push(await deleteOne(target, parseKind(kind), namespace, name));
  }
  return { json: printed.map(({ json }) => json), lines: printed.flatMap(({ lines }) => lines), notes: [] };
}

/** `vs`, `virtualservice`, `VirtualServices`: people write kinds in many ways. */
export function parseKind(text: string): Kind {
  const wanted = text.toLowerCase();
  const kind = SHORT[wanted] ?? KINDS.find((candidate) => spellingsOf(candidate).includes(wanted));
  if (kind !== undefined) return kind;
  throw new CommandFailure(EXIT.usage, [
    `"${text}" is not a kind; these are: ${KINDS.join(", ")} (short: se, dr, vs), and bundle`,
  ]);
}

function spellingsOf(kind: Kind): readonly string[] {
  const singular = kind.toLowerCase();
  return [singular, `${singular}s`, singular.replace(/y$/u, "ies")];
}

async function deleteOne(target: Target, kind: Kind, namespace: string, name: string): Promise<Printed> {
  const json = await ask(target, Deleted, { method: "DELETE", path: addressOf(kind, namespace, name) });
  return { json, lines: [`${kind} ${namespace}/${name} deleted`], notes: [] };
}

async function listAll(target: Target, kind: Kind, namespace: string | undefined): Promise<readonly Resource[]> {
  const base =
    namespace === undefined ? `/v1/resources/${kind}` : `/v1/resources/${kind}/${encodeURIComponent(namespace)}`;
  const items: Resource[] = [];
  let token: string | undefined;
  do {
    const path: string = token === undefined ? base : `${base}?continue=${encodeURIComponent(token)}`;
    // Each page says where the next one starts.
    // oxlint-disable-next-line no-await-in-loop
    const page = await ask(target, Page, { method: "GET", path });
    items.push(...page.items);
    token = page.continue;
  } while (token !== undefined);
  return items;
}

/** A list is `{ items }`, however many there are; one resource by its name is itself. */
function print(json: unknown, items: readonly Resource[], { output, nowMs }: GetOptions): Printed {
  const yaml = items.map((item) => stringify(item)).join("---\n");
  const lines = output === "yaml" ? [yaml.trimEnd()] : render(json, [tableOf(items, nowMs)], output);
  return items.length === 0 && output !== "json" ? { json, lines: [], notes: ["none"] } : { json, lines, notes: [] };
}

function render(json: unknown, table: readonly string[], output: GetOptions["output"]): readonly string[] {
  switch (output) {
    case "json":
      return [JSON.stringify(json, undefined, 2)];
    case "yaml":
      return [stringify(json).trimEnd()];
    case "table":
      return table;
  }
}

function tableOf(items: readonly Resource[], nowMs: number): string {
  const rows = items.map(({ metadata, spec }) => {
    const { namespace, name, resourceVersion, creationTimestamp } = metadata;
    return [namespace, name, resourceVersion, renderAge(Date.parse(creationTimestamp), nowMs), summaryOf(spec)];
  });
  return renderTable(["NAMESPACE", "NAME", "VERSION", "AGE", "FOR"], rows);
}

/** What a resource is about: its hosts, its host, or the filter that it uses. */
function summaryOf(spec: unknown): string {
  const { hosts, host, builtin, bundle } = fieldsOf(spec);
  if (Array.isArray(hosts)) return hosts.join(", ");
  return [host, builtin, bundle].find((value) => typeof value === "string")?.slice(0, 40) ?? "";
}

function addressOf(kind: Kind, namespace: string, name: string): string {
  return `/v1/resources/${kind}/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}
