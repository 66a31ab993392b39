// What control runs on a pushed artifact: everything in it is checked, and what proxies load is made here, never taken
// from the author. The work is done by a process of its own (derive-process.ts): the transpiler is a large program that
// works on hostile bytes, and what it allocates or how long it takes must not be control's problem.
import { join } from "node:path";
import { BundleRef, type BundleFile, type Digest } from "../../runtime/contract/bundle.ts";
import type { Parsed, Problem } from "../../runtime/contract/problem.ts";
import { ARTIFACT_MAX_BYTES, digestOf, parseArtifact } from "./artifact.ts";
import { openBuildCache } from "./build-cache.ts";
import { checkSchema } from "./check-config.ts";
import { readDerived } from "./derived-files.ts";

/** A bundle that was checked: how snapshots name it, and the files that proxies fetch, by digest. */
export interface DerivedBundle {
  readonly ref: BundleRef;
  /** Every file of `ref.files`; filters that share an engine core share its digest. */
  readonly files: ReadonlyMap<Digest, Uint8Array>;
}

/** How long one artifact may take; an ordinary one takes under a second. */
const DERIVE_MAX_MS = 30_000;
/** The component itself among the files, for engines that run components. */
export const COMPONENT_FILE = "component.wasm";
/** Where in the author's files its parts are, for whoever tells of failures. */
export const SOURCE_MAP_FILE = "source-map.json";
const DERIVED_MAX_BYTES = ARTIFACT_MAX_BYTES * 4;
const PROCESS = join(import.meta.dir, "derive-process.ts");

/** Checks a pushed artifact and derives what proxies load. Hostile bytes are problems, never an exception. */
export async function deriveBundle(artifact: Uint8Array): Promise<Parsed<DerivedBundle>> {
  const parsed = parseArtifact(artifact);
  if (!parsed.ok) return parsed;
  const { digest, manifest, component, sourceMap } = parsed.value;
  const schemaProblems = checkSchema(manifest).map(({ path, message }) => ({
    path: `manifest.configSchema${path === "" ? "" : `.${path}`}`,
    message,
  }));
  if (schemaProblems.length > 0) return { ok: false, problems: schemaProblems };

  const derived = await runDerive(component);
  if (!derived.ok) return derived;
  const named = new Map([...derived.value, [COMPONENT_FILE, component]]);
  if (sourceMap !== "") named.set(SOURCE_MAP_FILE, new TextEncoder().encode(sourceMap));
  const files = new Map<Digest, Uint8Array>();
  const list: BundleFile[] = [];
  for (const [name, bytes] of named) {
    const fileDigest = digestOf(bytes);
    files.set(fileDigest, bytes);
    list.push({ name, digest: fileDigest, sizeBytes: bytes.length });
  }
  const ref = BundleRef.safeParse({ digest, manifest, files: list });
  if (!ref.success) return fault(`component is made of ${list.length} files, which no proxy loads`);
  return { ok: true, value: { ref: ref.data, files } };
}

async function runDerive(component: Uint8Array): Promise<Parsed<ReadonlyMap<string, Uint8Array>>> {
  const cache = openBuildCache();
  const known = await cache.read("derived", [component]);
  if (known !== undefined) return readDerived(known, DERIVED_MAX_BYTES);
  const child = Bun.spawn([process.execPath, PROCESS], {
    stdin: component,
    stdout: "pipe",
    stderr: "pipe",
    timeout: DERIVE_MAX_MS,
    killSignal: "SIGKILL",
  });
  const [output, errors, code] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
  if (child.signalCode === "SIGKILL") return fault(`component took longer than ${DERIVE_MAX_MS} ms to check`);
  if (code !== 0)
    return fault(`component could not be checked: ${errors.trim().split("\n").at(-1) ?? `exit code ${code}`}`);
  const derived = readDerived(output, DERIVED_MAX_BYTES);
  if (derived.ok) await cache.write("derived", [component], output);
  return derived;
}

function fault(message: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ path: "", message }] };
}
