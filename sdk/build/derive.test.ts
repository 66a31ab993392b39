// Artifacts that are not what they should be: each a problem that says what, never an exception.
import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ARTIFACT_MAX_BYTES, digestOf, parseArtifact, renderArtifact } from "./artifact.ts";
import { buildFilterFile, type BuiltFilter } from "./build.ts";
import { COMPONENT_FILE, deriveBundle, SOURCE_MAP_FILE } from "./derive.ts";
import { tamperCode } from "../../test/harness/tamper.ts";
import { readSections, WasmWriter } from "./wasm-reader.ts";

const FILE = join(import.meta.dir, "../../test/fixtures/stamp/filter.ts");

let built: BuiltFilter;
/** The component without its manifest. */
let component: Uint8Array;

beforeAll(async () => {
  const result = await buildFilterFile(FILE);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  built = result.value;
  const last = readSections(built.artifact, 1).at(-1);
  component = built.artifact.slice(0, last?.start);
}, 60_000);

async function messageOf(artifact: Uint8Array): Promise<string> {
  const derived = await deriveBundle(artifact);
  return derived.ok ? "was accepted" : derived.problems.map(({ path, message }) => `${path}: ${message}`).join("\n");
}

test("an artifact derives to files by digest, the component among them", async () => {
  const derived = await deriveBundle(built.artifact);
  if (!derived.ok) throw new Error(JSON.stringify(derived.problems));
  const { ref, files } = derived.value;
  expect(ref.digest).toBe(built.digest);
  expect(ref.manifest).toEqual(built.manifest);
  expect(ref.files.map(({ name }) => name)).toContain(SOURCE_MAP_FILE);
  expect(ref.files.find(({ name }) => name === COMPONENT_FILE)?.digest).toBe(built.digest);
  for (const { digest, sizeBytes } of ref.files) {
    const bytes = files.get(digest) ?? new Uint8Array();
    expect([digestOf(bytes), bytes.length]).toEqual([digest, sizeBytes]);
  }
}, 30_000);

describe("an artifact is refused", () => {
  test.each<[string, () => Uint8Array, string]>([
    ["that is empty", () => new Uint8Array(), "ends in the middle"],
    ["that is text", () => new TextEncoder().encode("export default 1; // filter"), "is not WebAssembly"],
    [
      "that is a core module",
      () => Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0),
      "is a core module, not a component",
    ],
    ["that is cut", () => built.artifact.slice(0, built.artifact.length >> 1), "ends in the middle"],
    ["that is too large", () => new Uint8Array(ARTIFACT_MAX_BYTES + 1), `limit is ${ARTIFACT_MAX_BYTES}`],
    ["without a manifest", () => component, 'has 0 sections "vespid:manifest"'],
    ["with two manifests", () => renderArtifact(built.artifact, built.manifest), "has 2 sections"],
    ["of another world", () => emptyComponent(), 'must export "vespid:filter/handler@2.0.0"'],
    ["whose manifest is not JSON", () => withManifest("{"), "manifest: is not JSON"],
    [
      "whose manifest names a stage that is none",
      () => withManifest({ ...built.manifest, stage: "later" }),
      "manifest.stage",
    ],
    [
      "that writes what frames a message",
      () => withManifest({ ...built.manifest, writes: ["content-length"] }),
      "manifest.writes[0]",
    ],
    [
      "that reads an unknown attribute",
      () => withManifest({ ...built.manifest, reads: ["source.age"] }),
      "manifest.reads[0]",
    ],
    [
      "whose schema is of no object",
      () => withManifest({ ...built.manifest, configSchema: { type: "string" } }),
      "manifest.configSchema.type",
    ],
  ])("%s", async (_, artifact, message) => {
    expect(await messageOf(artifact())).toContain(message);
  });

  test("whose code was changed so that it is not valid", async () => {
    expect(await messageOf(tamperCode(built.artifact))).toMatch(/component/u);
  }, 30_000);

  test("wherever it is cut, without an exception", () => {
    for (let share = 0; share < 1; share += 0.05) {
      expect(parseArtifact(built.artifact.slice(0, Math.floor(built.artifact.length * share))).ok).toBe(false);
    }
  });
});

function emptyComponent(): Uint8Array {
  return renderArtifact(Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0), built.manifest);
}

function withManifest(manifest: unknown): Uint8Array {
  const payload = new WasmWriter();
  payload.name("vespid:manifest");
  payload.bytes(new TextEncoder().encode(typeof manifest === "string" ? manifest : JSON.stringify(manifest)));
  const writer = new WasmWriter();
  writer.bytes(component);
  writer.section(0, payload.finish());
  return writer.finish().slice();
}
