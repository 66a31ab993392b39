// A version of a filter to replay: an artifact or a digest in the sandbox, as proxies run it, an author's file there or native.
import { buildFilter } from "../../runtime/wasm/build-filter.ts";
import type { Filter } from "../../runtime/chain/filter.ts";
import type { FilterSurroundings } from "../../runtime/chain/native-filter.ts";
import { NO_METER } from "../../runtime/chain/meter.ts";
import type { Manifest } from "../../runtime/contract/bundle.ts";
import { FilterUse, type FilterSource } from "../../runtime/contract/filter.ts";
import type { Parsed } from "../../runtime/contract/problem.ts";
import { createNativeHost } from "../../runtime/host/native-host.ts";
import { PrivateMemory } from "../../runtime/host/shared-memory.ts";
import { SharedState } from "../../runtime/host/shared-state.ts";
import { jscEngine } from "../../runtime/wasm/jsc-engine.ts";
import { buildFilterFile } from "../build/build.ts";
import { deriveBundle } from "../build/derive.ts";
import { explainFailure, guestPlaces, type NamePlace } from "../build/failure-text.ts";
import { findFilterFile } from "../build/project.ts";
import { parseArtifact } from "../build/artifact.ts";
import { parseSourceMap } from "../build/source-map.ts";
import { installHost } from "../host.ts";
import type { AnyFilter } from "../define-filter.ts";
import type { ReplayClock } from "./replay.ts";
import type { Config } from "./settings.ts";
import { SourceLoader } from "./source-loader.ts";

/** A filter that is ready to be asked. */
export interface ReplayVersion {
  readonly filter: Filter;
  readonly manifest: Manifest;
  /** A failure's text with the lines of the author's files. */
  readonly explain: (message: string) => string;
  stop(): Promise<void>;
}

export interface VersionOptions {
  readonly config: Config;
  readonly clock: ReplayClock;
  /** Runs the source in this process, without the sandbox. */
  readonly isNative: boolean;
  /** Where digests are fetched from. */
  readonly control: string;
}

const ARTIFACT_MAX_BYTES = 32 * 1024 * 1024;
const FETCH_MAX_MS = 30_000;

/** Loads what `text` names: a file or folder, an artifact, or the digest of a bundle that control has. */
export async function loadVersion(text: string, options: VersionOptions): Promise<Parsed<ReplayVersion>> {
  if (options.isNative) return loadNative(text, options);
  const artifact = await readVersion(text, options.control);
  if (!artifact.ok) return artifact;
  const parsed = parseArtifact(artifact.value);
  if (!parsed.ok) return parsed;
  const derived = await deriveBundle(artifact.value);
  if (!derived.ok) return derived;
  const { ref, files } = derived.value;
  const fetchFile: Parameters<typeof buildFilter>[1]["fetchFile"] = ({ name, digest }) => {
    const bytes = files.get(digest);
    return Promise.resolve(
      bytes === undefined ? { ok: false, error: `${name} is not there` } : { ok: true, value: bytes },
    );
  };
  const places = guestPlaces(parseSourceMap(parsed.value.sourceMap));
  const parts = { source: { kind: "bundle" as const, bundle: ref }, manifest: ref.manifest, places };
  return start(parts, options, { fetchFile, builtins: new Map() }, () => Promise.resolve());
}

async function loadNative(text: string, options: VersionOptions): Promise<Parsed<ReplayVersion>> {
  const file = await findFilterFile(text);
  if (!file.ok) return file;
  installHost(createNativeHost());
  const loader = await SourceLoader.open(file.value);
  const loaded = await loader.load();
  if (!loaded.ok) {
    await loader.stop();
    return loaded;
  }
  const { filter, manifest, places } = loaded.value;
  const parts = { source: { kind: "builtin" as const, name: manifest.name }, manifest, places };
  const builtins = new Map([[manifest.name, filter]]);
  return start(parts, options, { fetchFile: fetchNothing, builtins }, () => loader.stop());
}

const fetchNothing = (): Promise<{ readonly ok: false; readonly error: string }> =>
  Promise.resolve({ ok: false, error: "source needs no file of a bundle" });

interface VersionParts {
  readonly source: FilterSource;
  readonly manifest: Manifest;
  readonly places: NamePlace;
}

async function start(
  { source, manifest, places }: VersionParts,
  { config, clock }: VersionOptions,
  from: {
    readonly fetchFile: Parameters<typeof buildFilter>[1]["fetchFile"];
    readonly builtins: ReadonlyMap<string, AnyFilter>;
  },
  stop: () => Promise<void>,
): Promise<Parsed<ReplayVersion>> {
  const named = manifest.upstreams.filter((name) => name !== "*");
  const upstreams = Object.fromEntries(named.map((name) => [name, { cluster: name }]));
  const use = FilterUse.parse({ name: manifest.name, source, stage: manifest.stage, config, upstreams });
  const built = await buildFilter(use, { ...surroundings(clock), engine: jscEngine, ...from });
  if (!built.ok) {
    await stop();
    return built;
  }
  const filter = built.value;
  return {
    ok: true,
    value: {
      filter,
      manifest,
      explain: (message) => explainFailure(message, places),
      async stop() {
        filter.stop();
        await stop();
      },
    },
  };
}

function surroundings(clock: ReplayClock): FilterSurroundings {
  return {
    clock,
    schedule: (run, afterMs) => {
      const timer = setTimeout(run, afterMs);
      return () => clearTimeout(timer);
    },
    log: () => undefined,
    // What an upstream would say now is not what it said then.
    callout: () => Promise.resolve({ ok: false, error: { kind: "failed", message: "a replay calls nobody" } }),
    declareMetrics: () => ({ ok: true, value: NO_METER }),
    shared: new SharedState(new PrivateMemory(), clock),
  };
}

async function readVersion(text: string, control: string): Promise<Parsed<Uint8Array>> {
  if (/^sha256:[0-9a-f]{64}$/u.test(text)) return fetchArtifact(text, control);
  if (text.endsWith(".wasm")) {
    const file = Bun.file(text);
    return (await file.exists()) ? { ok: true, value: await file.bytes() } : fault(text, "is not there");
  }
  const file = await findFilterFile(text);
  if (!file.ok) return file;
  const built = await buildFilterFile(file.value);
  return built.ok ? { ok: true, value: built.value.artifact } : built;
}

async function fetchArtifact(digest: string, control: string): Promise<Parsed<Uint8Array>> {
  try {
    const url = new URL(`/v1/blobs/${digest}`, control);
    const reply = await fetch(url, { signal: AbortSignal.timeout(FETCH_MAX_MS) });
    const bytes = new Uint8Array(await reply.arrayBuffer());
    if (!reply.ok || bytes.length > ARTIFACT_MAX_BYTES) return fault(digest, `control answered ${reply.status}`);
    return { ok: true, value: bytes };
  } catch (error) {
    return fault("--control", `${control} does not answer: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function fault(
  path: string,
  message: string,
): { readonly ok: false; readonly problems: readonly [{ path: string; message: string }] } {
  return { ok: false, problems: [{ path, message }] };
}
