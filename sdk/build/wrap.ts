// A component that another toolchain made becomes an artifact: its manifest, which our build would have read from the
// filter, comes from a file.
import { Manifest } from "../../runtime/contract/bundle.ts";
import { parseWith, type Parsed } from "../../runtime/contract/problem.ts";
import { WORLD } from "../wit/world.ts";
import { checkManifest, parseArtifact, renderArtifact, type Artifact } from "./artifact.ts";
import { checkSchema } from "./check-config.ts";

/** Puts a component and its manifest together, and checks what control will check: every problem at once, told by the manifest's paths. */
export function wrapComponent(component: Uint8Array, manifest: unknown): Parsed<Artifact> {
  const given = typeof manifest === "object" && manifest !== null ? { world: WORLD, ...manifest } : manifest;
  const parsed = parseWith(Manifest, given);
  if (!parsed.ok) return parsed;
  const problems = [
    ...checkManifest(parsed.value),
    ...checkSchema(parsed.value).map(({ path, message }) => ({
      path: path === "" ? "configSchema" : `configSchema.${path}`,
      message,
    })),
  ];
  return problems.length > 0 ? { ok: false, problems } : parseArtifact(renderArtifact(component, parsed.value));
}
