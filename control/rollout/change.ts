// What deploying, promoting and rolling back do to a Filter's document, and which versions were live before.
import { z } from "zod";
import type { Digest } from "../../runtime/contract/bundle.ts";
import { renderCanonical } from "../../runtime/contract/version.ts";
import type { Result } from "../store/result.ts";
import type { Document, Revision } from "../store/store.ts";

/** Why a version came or went, for people: kept with the resource, as `kubernetes.io/change-cause` is. */
export const CAUSE = "vespid.dev/change-cause";
const CAUSE_MAX_LENGTH = 1000;

const Spec = z.looseObject({
  bundle: z.string().optional(),
  builtin: z.string().optional(),
  config: z.record(z.string(), z.unknown()).optional(),
  candidate: z
    .looseObject({ bundle: z.string().optional(), config: z.record(z.string(), z.unknown()).optional() })
    .optional(),
});
type Spec = z.infer<typeof Spec>;

/** A version of a filter, as it was live. */
export interface LiveVersion {
  /** Digest of its bundle, or `builtin/NAME`. */
  readonly version: string;
  readonly bundle: string | undefined;
  readonly config: Readonly<Record<string, unknown>>;
  /** The revision with which it became live. */
  readonly revision: number;
  readonly atMs: number;
  readonly cause: string | undefined;
}

/** Live versions, the newest first, from a resource's history (newest first). */
export function liveVersions(history: readonly Revision[]): readonly LiveVersion[] {
  const versions: LiveVersion[] = [];
  for (const { document, revision, atMs } of history.toReversed()) {
    const spec = Spec.safeParse(document?.spec);
    if (!spec.success) continue;
    const { bundle, config = {} } = spec.data;
    const version = nameOf(spec.data);
    const cause = document?.metadata.annotations?.[CAUSE];
    const last = versions.at(-1);
    if (last !== undefined && last.version === version && isSame(last.config, config)) continue;
    versions.push({ version, bundle, config, revision, atMs, cause });
  }
  return versions.toReversed();
}

/** What is tried, by the version's name. */
export function candidateName(document: Document): string | undefined {
  const spec = readSpec(document);
  return spec.candidate === undefined ? undefined : (spec.candidate.bundle ?? `${nameOf(spec)} with another config`);
}

/** With a candidate as it was written. What it says is checked with the resource. */
export function withCandidate(document: Document, candidate: unknown, cause: string): Document {
  return changed(document, { ...readSpec(document), candidate: z.looseObject({}).parse(candidate) }, cause);
}

/** With another live version, and no candidate. */
export function withLive(
  document: Document,
  {
    bundle,
    config,
  }: { readonly bundle: Digest | string; readonly config: Readonly<Record<string, unknown>> | undefined },
  cause: string,
): Document {
  const { candidate: _candidate, ...spec } = readSpec(document);
  return changed(document, { ...spec, bundle, ...(config === undefined ? {} : { config }) }, cause);
}

/** Without its candidate. */
export function withoutCandidate(document: Document, cause: string): Document {
  const { candidate: _candidate, ...spec } = readSpec(document);
  return changed(document, spec, cause);
}

/** The candidate in the live version's place; or why not. */
export function promoted(document: Document): Result<Document, string> {
  const { candidate, ...spec } = readSpec(document);
  if (candidate === undefined)
    return { ok: false, error: "it has no candidate; deploy one with --percent or --shadow" };
  const { bundle = spec.bundle, config = spec.config } = candidate;
  const next = { ...spec, ...(bundle === undefined ? {} : { bundle }), ...(config === undefined ? {} : { config }) };
  return { ok: true, value: changed(document, next, `promoted ${candidateName(document) ?? ""}`) };
}

/** Back: without its candidate where it has one, else to the version that was live before, or to the one that `to` begins. */
export function rolledBack(
  document: Document,
  history: readonly LiveVersion[],
  to: string | undefined,
): Result<Document, string> {
  const tried = candidateName(document);
  if (tried !== undefined && to === undefined) {
    return { ok: true, value: withoutCandidate(document, `rolled back ${tried}`) };
  }
  const [current, ...before] = history;
  const found = to === undefined ? before[0] : before.find(({ version }) => isNamed(version, to));
  if (found?.bundle === undefined) {
    const known = before.map(({ version }) => version).join(", ");
    const which = to === undefined ? "there is no version before the live one" : `no version before was ${to}`;
    return { ok: false, error: known === "" ? which : `${which}; there were ${known}` };
  }
  const { bundle, config } = found;
  const cause = `rolled back from ${current?.version ?? "what was live"} to ${bundle}`;
  return { ok: true, value: withLive(document, { bundle, config }, cause) };
}

/** Whether people mean this version: by its name, or by how its digest begins. */
export function isNamed(version: string, text: string): boolean {
  return (
    version === text ||
    (/^(?:sha256:)?[0-9a-f]{6,}$/u.test(text) && version.replace("sha256:", "").startsWith(text.replace("sha256:", "")))
  );
}

function changed(document: Document, spec: Spec, cause: string): Document {
  const { metadata } = document;
  const annotations = { ...metadata.annotations, [CAUSE]: cause.slice(0, CAUSE_MAX_LENGTH) };
  return { ...document, metadata: { ...metadata, annotations }, spec };
}

function readSpec(document: Document): Spec {
  return Spec.parse(document.spec);
}

function nameOf({ bundle, builtin }: Spec): string {
  return bundle ?? `builtin/${builtin ?? ""}`;
}

function isSame(a: unknown, b: unknown): boolean {
  return renderCanonical(a) === renderCanonical(b);
}
