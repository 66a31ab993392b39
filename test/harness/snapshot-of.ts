// What control would send to one proxy, from the YAML that an operator applies.
import { parseAllDocuments } from "yaml";
import { buildWorld, type Identity } from "../../control/compile/world.ts";
import { parseResource } from "../../control/resource/resource.ts";
import { buildSnapshot } from "../../control/snapshot/build.ts";
import { checkSnapshot } from "../../control/snapshot/check.ts";
import type { Snapshot } from "../../runtime/contract/snapshot.ts";

/** Who most tests are. */
export const PRODUCTPAGE: Identity = {
  service: "productpage",
  namespace: "default",
  labels: { app: "productpage" },
};

/** The snapshot of a proxy when these documents, oldest first, are all that is wanted; throws what is wrong with them. */
export function snapshotOf(text: string, identity: Identity = PRODUCTPAGE): Snapshot {
  const resources = parseAllDocuments(text).map((document) => {
    const parsed = parseResource(document.toJS());
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    return parsed.value;
  });
  const checked = checkSnapshot(buildSnapshot(buildWorld(resources, new Map()), identity));
  if (!checked.ok) throw new Error(JSON.stringify(checked.problems));
  return checked.value.snapshot;
}
