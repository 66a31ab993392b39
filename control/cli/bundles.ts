// Built filters that control has: `vespid get bundles`, `vespid delete bundle DIGEST`.
import { z } from "zod";
import type { Printed } from "./apply.ts";
import { ask, type Target } from "./client.ts";
import { renderAge, renderTable } from "./table.ts";

const Bundle = z.looseObject({
  digest: z.string(),
  manifest: z.looseObject({ name: z.string(), stage: z.string() }),
  sizeBytes: z.number(),
  createdAt: z.string(),
});

/** Whether a kind of the command line means bundles. */
export function isBundleKind(text: string): boolean {
  return /^bundles?$/iu.test(text);
}

/** All of them, or the one of a digest. */
export async function getBundles(target: Target, digest: string | undefined, nowMs: number): Promise<Printed> {
  const path = digest === undefined ? "/v1/bundles" : `/v1/bundles/${encodeURIComponent(digest)}`;
  const schema = z.union([z.object({ items: z.array(Bundle) }), Bundle.transform((bundle) => ({ items: [bundle] }))]);
  const { items } = await ask(target, schema, { method: "GET", path });
  const rows = items.map(({ digest: own, manifest, sizeBytes, createdAt }) => {
    const size = `${Math.ceil(sizeBytes / 1000)} kB`;
    return [manifest.name, manifest.stage, size, renderAge(Date.parse(createdAt), nowMs), own];
  });
  const head = ["NAME", "STAGE", "SIZE", "AGE", "DIGEST"];
  return {
    json: digest === undefined ? { items } : items[0],
    lines: rows.length === 0 ? [] : [renderTable(head, rows)],
    notes: rows.length === 0 ? ["none"] : [],
  };
}

/** Refused while a filter uses it. */
export async function deleteBundle(target: Target, digest: string): Promise<Printed> {
  const path = `/v1/bundles/${encodeURIComponent(digest)}`;
  const json = await ask(target, z.looseObject({ digest: z.string() }), { method: "DELETE", path });
  return { json, lines: [`bundle ${digest} deleted`], notes: [] };
}
