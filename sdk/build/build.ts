// From an author's file to the artifact that is pushed: bundle, read the manifest, componentize.
import { z } from "zod";
import { Manifest, Phase, type Digest } from "../../runtime/contract/bundle.ts";
import { parseWith, type Parsed, type Problem } from "../../runtime/contract/problem.ts";
import type { AnyFilter } from "../define-filter.ts";
import { WORLD } from "../wit/world.ts";
import { checkManifest, digestOf, renderArtifact } from "./artifact.ts";
import { openBuildCache } from "./build-cache.ts";
import { bundleGuest, bundleNative } from "./bundle.ts";
import { componentOf, ENGINE_FILE, ScriptError } from "./component.ts";

/** A built filter. */
export interface BuiltFilter {
  readonly manifest: Manifest;
  readonly artifact: Uint8Array;
  readonly digest: Digest;
  readonly sizes: { readonly scriptBytes: number; readonly artifactBytes: number };
}

export type BuildStep = "bundle" | "manifest" | "component";

/** Builds the filter that `path` exports as its default. `onStep` is told when a step begins. */
export async function buildFilterFile(
  path: string,
  onStep: (step: BuildStep) => void = () => undefined,
): Promise<Parsed<BuiltFilter>> {
  onStep("bundle");
  const [guest, native] = await Promise.all([bundleGuest(path), bundleNative(path)]);
  if (!guest.ok) return guest;
  if (!native.ok) return native;

  onStep("manifest");
  const manifest = await readManifest(native.value.script);
  if (!manifest.ok) return manifest;

  onStep("component");
  const { script, sourceMap } = guest.value;
  const component = await makeComponent(script);
  if (!component.ok) return component;
  const artifact = renderArtifact(component.value, manifest.value, sourceMap);
  return {
    ok: true,
    value: {
      manifest: manifest.value,
      artifact,
      digest: digestOf(artifact),
      sizes: { scriptBytes: script.length, artifactBytes: artifact.length },
    },
  };
}

/** What a filter's file says of itself, without building it. */
export async function readManifestOf(path: string): Promise<Parsed<Manifest>> {
  const native = await bundleNative(path);
  return native.ok ? readManifest(native.value.script) : native;
}

async function makeComponent(script: string): Promise<Parsed<Uint8Array>> {
  const cache = openBuildCache();
  const parts = [script, await Bun.file(ENGINE_FILE).bytes()];
  const known = await cache.read("component", parts);
  if (known !== undefined) return { ok: true, value: known };
  try {
    const component = await componentOf(script);
    await cache.write("component", parts, component);
    return { ok: true, value: component };
  } catch (error) {
    // The filter's own top-level code runs here, in the engine that has none of Bun's or a browser's globals.
    if (error instanceof ScriptError)
      return fault("", `the filter does not load in the sandbox's engine: ${error.message}`);
    throw error;
  }
}

/** Loads the bundled filter in this process and writes down what it says of itself. */
async function readManifest(script: string): Promise<Parsed<Manifest>> {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    const loaded: { readonly default?: unknown } = await import(url);
    return describeFilter(loaded.default);
  } catch (error) {
    return fault("", `the filter does not load: ${String(error)}`);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** What a loaded filter says of itself, checked as control checks it. */
export function describeFilter(filter: unknown): Parsed<Manifest> {
  if (!isFilter(filter))
    return fault("default", `must be what defineFilter or defineAdapter returns: "export default defineFilter({ … })"`);
  const { handlers } = filter;
  const phases = Phase.options.filter((phase) => handlers[phase] !== undefined);
  if (phases.length === 0)
    return fault(
      "request",
      "is missing: a filter needs a handler (request, response, tcp, …), an adapter check, quota or report",
    );
  const schema = renderSchema(filter.config);
  if (!schema.ok) return schema;
  const { name, stage, reads, writes, body, upstreams, timers, cacheable, isolation, instance } = filter;
  const manifest = parseWith(Manifest, {
    name,
    world: WORLD,
    stage,
    reads,
    writes,
    phases,
    body,
    upstreams,
    metrics: Object.entries(filter.metrics).map(([metric, definition]) => Object.assign({ name: metric }, definition)),
    timers,
    cacheable,
    isolation,
    instance,
    configSchema: schema.value,
  });
  if (!manifest.ok) return manifest;
  const problems = checkManifest(manifest.value);
  return problems.length === 0 ? manifest : { ok: false, problems };
}

/** What may be given is the schema's input; zod fills in the rest when the filter is configured. */
function renderSchema(schema: z.ZodType | undefined): Parsed<Record<string, unknown>> {
  if (schema === undefined) return { ok: true, value: { type: "object", properties: {}, additionalProperties: false } };
  try {
    const rendered: unknown = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
    const parsed = z.record(z.string(), z.unknown()).parse(rendered);
    return parsed["type"] === "object" || parsed["anyOf"] !== undefined || parsed["allOf"] !== undefined
      ? { ok: true, value: parsed }
      : fault("config", `describes ${JSON.stringify(parsed["type"])}, must describe an object`);
  } catch (error) {
    return fault("config", `cannot be written as JSON Schema: ${String(error)}`);
  }
}

/** Whether it is what `defineFilter`, or `defineAdapter`, returns. */
export function isFilter(value: unknown): value is AnyFilter {
  return typeof value === "object" && value !== null && "name" in value && "stage" in value && "handlers" in value;
}

function fault(path: string, message: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ path, message }] };
}
