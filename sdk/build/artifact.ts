// What an author pushes: a WebAssembly component with its manifest in a custom section. Any component tool reads it, and
// its digest names everything that was said about it.
import { createHash } from "node:crypto";
import { adapterPhasesOf, type AdapterPhase } from "../../runtime/contract/adapter.ts";
import { Digest, Manifest, type Digest as DigestOf } from "../../runtime/contract/bundle.ts";
import { parseWith, type Parsed, type Problem } from "../../runtime/contract/problem.ts";
import {
  ATTRIBUTES,
  FRAMING_FIELDS,
  HANDLER_INTERFACE,
  HOST_INTERFACE,
  MANIFEST_SECTION,
  METADATA_PREFIX,
  SOURCE_MAP_SECTION,
} from "../wit/world.ts";
import { SOURCE_MAP_MAX_LENGTH } from "./source-map.ts";
import { readSections, WasmFault, WasmWriter, type Section, type WasmReader } from "./wasm-reader.ts";

/** The largest artifact that is accepted; one of QuickJS is 2 to 3 MB. */
export const ARTIFACT_MAX_BYTES = 16 * 1024 * 1024;
const MANIFEST_MAX_BYTES = 256 * 1024;

const CUSTOM = 0;
const IMPORT = 10;
const EXPORT = 11;
/** What the engine inside of a component links against; most of it traps when it is called. */
const WASI_IMPORT = /^wasi:(?:cli|clocks|filesystem|io|random)\/[a-z-]+@0\.2\.\d+$/u;
const METADATA_NAME = /^metadata\.(?:\*|[a-z][a-z0-9_-]{0,62})$/u;
const ACTION_ATTRIBUTE = /^[a-z][a-z0-9._-]{0,62}$/u;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/u;

/** An artifact that says what it is; its code was not looked at yet. */
export interface Artifact {
  readonly digest: DigestOf;
  readonly manifest: Manifest;
  readonly component: Uint8Array;
  /** Where in the author's files its parts are; empty where it does not say. */
  readonly sourceMap: string;
}

/** `sha256:` and the hex digest of these bytes. */
export function digestOf(bytes: Uint8Array): DigestOf {
  return Digest.parse(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
}

/** A component with its manifest and, unless it is too long, a source map. Neither is in the guest's memory. */
export function renderArtifact(component: Uint8Array, manifest: Manifest, sourceMap = ""): Uint8Array {
  const writer = new WasmWriter(component.length + sourceMap.length + 16_384);
  writer.bytes(component);
  if (sourceMap !== "" && sourceMap.length <= SOURCE_MAP_MAX_LENGTH)
    writer.section(CUSTOM, customSection(SOURCE_MAP_SECTION, sourceMap));
  writer.section(CUSTOM, customSection(MANIFEST_SECTION, JSON.stringify(manifest)));
  return writer.finish().slice();
}

function customSection(name: string, text: string): Uint8Array {
  const payload = new WasmWriter();
  payload.name(name);
  payload.bytes(new TextEncoder().encode(text));
  return payload.finish();
}

/** Reads and checks an artifact's outside: sizes, world, manifest. Never throws. */
export function parseArtifact(bytes: Uint8Array): Parsed<Artifact> {
  if (bytes.length > ARTIFACT_MAX_BYTES) {
    return fault(`artifact is ${bytes.length} bytes, limit is ${ARTIFACT_MAX_BYTES}`);
  }
  try {
    const sections = readSections(bytes, 1);
    const problems = checkWorld(sections);
    const custom = customSections(sections);
    const manifest = readManifest(custom);
    if (!manifest.ok) return { ok: false, problems: [...problems, ...manifest.problems] };
    if (problems.length > 0) return { ok: false, problems };
    const sourceMap = readSourceMap(custom);
    return { ok: true, value: { digest: digestOf(bytes), manifest: manifest.value, component: bytes, sourceMap } };
  } catch (error) {
    if (error instanceof WasmFault) return fault(`artifact ${error.message}`);
    throw error;
  }
}

/** What the schema of a manifest cannot say: names that can be read and written. */
export function checkManifest(manifest: Manifest): readonly Problem[] {
  const problems: Problem[] = [];
  const complain = (path: string, message: string) => problems.push({ path, message });
  const asked = adapterPhasesOf(manifest);
  problems.push(...checkAdapterManifest(manifest, asked));
  manifest.reads.forEach((name, index) => {
    if (asked.length > 0) return;
    const isAttribute = ATTRIBUTES.some((attribute) => attribute === name) || METADATA_NAME.test(name);
    if (isAttribute || name === "*" || (FIELD_NAME.test(name) && !name.includes("."))) return;
    complain(
      `reads[${index}]`,
      `${JSON.stringify(name)} is neither a lower-case header name nor one of ${ATTRIBUTES.join(", ")}`,
    );
  });
  manifest.writes.forEach((name, index) => {
    if (FRAMING_FIELDS.has(name))
      complain(`writes[${index}]`, `${JSON.stringify(name)} is set by the proxy and cannot be edited`);
    else if (name !== ":status" && name !== "*" && !METADATA_NAME.test(name) && !isFieldToWrite(name)) {
      complain(
        `writes[${index}]`,
        `${JSON.stringify(name)} is neither a lower-case header name nor ":status", "metadata.NAME" or "*"`,
      );
    }
  });
  if (manifest.isolation === "request") {
    for (const phase of ["setup", "timer"] as const) {
      if (manifest.phases.includes(phase))
        complain(
          "isolation",
          `"request" gives each exchange an instance of its own, and ${phase} wants one that stays`,
        );
    }
  }
  if (manifest.timers.length > 0 !== manifest.phases.includes("timer"))
    complain("timers", "must be there where phases has timer, and only there");
  for (const list of ["reads", "writes"] as const) {
    manifest[list].forEach((name, index, all) => {
      if (all.indexOf(name) !== index) complain(`${list}[${index}]`, `${JSON.stringify(name)} is listed twice`);
    });
  }
  return problems;
}

const BACKGROUND_PHASES: ReadonlySet<string> = new Set(["setup", "timer"]);

function checkAdapterManifest(
  { phases, reads, writes, instance }: Manifest,
  asked: readonly AdapterPhase[],
): readonly Problem[] {
  if (asked.length === 0)
    return instance === undefined ? [] : [{ path: "instance", message: "is for phases check, quota and report" }];
  const problems = phases
    .filter((phase) => !BACKGROUND_PHASES.has(phase) && !asked.some((one) => one === phase))
    .map((phase) => ({
      path: "phases",
      message: `has ${phase} beside check, quota or report, which are of an adapter; make two components of them`,
    }));
  reads.forEach((name, index) => {
    if (ACTION_ATTRIBUTE.test(name)) return;
    const message = `${JSON.stringify(name)} must be lower-case letters, digits, ".", "-" and "_", starting with a letter`;
    problems.push({ path: `reads[${index}]`, message });
  });
  if (writes.length > 0) problems.push({ path: "writes", message: "must be empty: an adapter changes no message" });
  for (const name of Object.keys(instance?.attributes ?? {})) {
    if (!reads.includes(name)) problems.push({ path: `instance.attributes.${name}`, message: "is not one of reads" });
  }
  return problems;
}

/** A field that begins like a value for later filters would be taken for one. */
function isFieldToWrite(name: string): boolean {
  return FIELD_NAME.test(name) && !name.startsWith(METADATA_PREFIX);
}

function checkWorld(sections: readonly Section[]): readonly Problem[] {
  const imports = namesOf(sections, IMPORT);
  const exports = namesOf(sections, EXPORT);
  const problems = imports
    .filter((name) => name !== HOST_INTERFACE && !WASI_IMPORT.test(name))
    .map((name) => ({ path: "", message: `component imports ${JSON.stringify(name)}, which no proxy offers` }));
  if (!exports.includes(HANDLER_INTERFACE)) {
    const found = exports.length === 0 ? "nothing" : exports.map((name) => JSON.stringify(name)).join(", ");
    problems.push({ path: "", message: `component exports ${found}, must export "${HANDLER_INTERFACE}"` });
  }
  return problems;
}

/** Names that a component's own sections import or export, in order. */
function namesOf(sections: readonly Section[], id: number): readonly string[] {
  return sections
    .filter((section) => section.id === id)
    .flatMap(({ payload }) => {
      // Only the first name of each section is read: toolchains write one an item, and more than one ends in a problem below.
      if (payload.u32() !== 1)
        throw new WasmFault("has a section with several imports or exports, which is not accepted");
      payload.byte();
      return [payload.name()];
    });
}

interface CustomSection {
  readonly name: string;
  /** What follows the name. */
  readonly payload: WasmReader;
}

function customSections(sections: readonly Section[]): readonly CustomSection[] {
  return sections.filter(({ id }) => id === CUSTOM).map(({ payload }) => ({ name: payload.name(), payload }));
}

/** The first one; who is told of failures checks what it says. */
function readSourceMap(sections: readonly CustomSection[]): string {
  const payload = sections.find(({ name }) => name === SOURCE_MAP_SECTION)?.payload;
  if (payload === undefined || payload.end - payload.position > SOURCE_MAP_MAX_LENGTH) return "";
  return new TextDecoder().decode(payload.bytes.subarray(payload.position, payload.end));
}

function readManifest(sections: readonly CustomSection[]): Parsed<Manifest> {
  const found = sections.filter(({ name }) => name === MANIFEST_SECTION);
  const [section] = found;
  if (section === undefined || found.length > 1) {
    return fault(
      `artifact has ${found.length} sections "${MANIFEST_SECTION}", must have one; build it with "filter build"`,
    );
  }
  const { bytes, position, end } = section.payload;
  if (end - position > MANIFEST_MAX_BYTES)
    return fault(`manifest is ${end - position} bytes, limit is ${MANIFEST_MAX_BYTES}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(position, end)));
  } catch (error) {
    // SyntaxError of JSON, TypeError of the decoder.
    return { ok: false, problems: [{ path: "manifest", message: `is not JSON: ${String(error)}` }] };
  }
  const parsed = parseWith(Manifest, value, "manifest");
  if (!parsed.ok) return parsed;
  const problems = checkManifest(parsed.value).map(({ path, message }) => ({ path: `manifest.${path}`, message }));
  return problems.length === 0 ? parsed : { ok: false, problems };
}

function fault(message: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ path: "", message }] };
}
