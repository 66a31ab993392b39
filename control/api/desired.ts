// What is wanted, parsed and at hand: a change is looked at in the world as it would be, then written whole or not at all.
import type { BundleRef, Digest } from "../../runtime/contract/bundle.ts";
import type { Problem } from "../../runtime/contract/problem.ts";
import { reviewDeletion, reviewResource, type CheckConfig } from "../compile/review.ts";
import { buildWorld, type World } from "../compile/world.ts";
import { keyOf, parseResource, renderKey, type Resource, type ResourceKey } from "../resource/resource.ts";
import type { Result } from "../store/result.ts";
import type { Applied, ApplyMode, Change, Document, Refusal, Store } from "../store/store.ts";

/** One wanted change; `at` is where its document is in the body, for the paths of problems. */
export type Wanted =
  | { readonly kind: "put"; readonly at: string; readonly resource: Resource; readonly document: Document }
  | { readonly kind: "delete"; readonly at: string; readonly key: ResourceKey; readonly expected: string | undefined };

export interface Outcome extends Applied {
  readonly warnings: readonly Problem[];
}

/** Why nothing was done. */
export type Denial =
  | { readonly kind: "invalid"; readonly problems: readonly Problem[] }
  | { readonly kind: "refused"; readonly refusals: readonly Refusal[] };

export interface Desired {
  world(): World;
  change(wanted: readonly Wanted[], mode: ApplyMode): Result<Outcome, Denial>;
  /** After bundles came or went. */
  reloadBundles(): void;
}

export interface DesiredOptions {
  readonly store: Store;
  readonly checkConfig: CheckConfig;
  /** After each change that changed something. */
  readonly changed: () => void;
  /** A stored resource that this program no longer accepts; it is left out. */
  readonly dropped: (key: ResourceKey, problems: readonly Problem[]) => void;
  readonly now: () => number;
}

export function createDesired({ store, checkConfig, changed, dropped, now }: DesiredOptions): Desired {
  /** Oldest first. */
  let resources = new Map<string, Resource>();
  for (const { key, document } of store.all()) {
    const parsed = parseResource(document);
    if (parsed.ok) resources.set(renderKey(key), parsed.value);
    else dropped(key, parsed.problems);
  }
  let bundles = readBundles(store);
  let world = buildWorld([...resources.values()], bundles);

  return {
    world: () => world,
    change(wanted, mode) {
      const twice = findTwice(wanted);
      if (twice.length > 0) return { ok: false, error: { kind: "invalid", problems: twice } };
      const candidate = withChanges(resources, wanted);
      const candidateWorld = buildWorld([...candidate.values()], bundles);
      const { problems, warnings } = reviewAll(wanted, candidateWorld, checkConfig);
      if (problems.length > 0) return { ok: false, error: { kind: "invalid", problems } };
      const applied = store.apply(wanted.map(renderChange), now(), mode);
      if (!applied.ok) return { ok: false, error: { kind: "refused", refusals: applied.error } };
      if (mode === "commit" && applied.value.actions.some((action) => action !== "unchanged")) {
        resources = candidate;
        world = candidateWorld;
        changed();
      }
      return { ok: true, value: { ...applied.value, warnings } };
    },
    reloadBundles() {
      bundles = readBundles(store);
      world = buildWorld([...resources.values()], bundles);
    },
  };
}

/** A document as it is stored; `resource` is what it parsed to. */
export function documentOf(resource: Resource, raw: unknown): Document {
  const { name, namespace, labels, annotations } = resource.metadata;
  const spec = typeof raw === "object" && raw !== null && "spec" in raw ? raw.spec : {};
  return {
    apiVersion: resource.apiVersion,
    kind: resource.kind,
    metadata: {
      name,
      namespace,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec,
  };
}

function readBundles(store: Store): ReadonlyMap<Digest, BundleRef> {
  return new Map(store.listBundles().map(({ ref }) => [ref.digest, ref]));
}

function withChanges(resources: ReadonlyMap<string, Resource>, wanted: readonly Wanted[]): Map<string, Resource> {
  const candidate = new Map(resources);
  for (const change of wanted) {
    // Setting a key that is there keeps its place, as an update keeps a resource's age.
    if (change.kind === "put") candidate.set(renderKey(keyOf(change.resource)), change.resource);
    else candidate.delete(renderKey(change.key));
  }
  return candidate;
}

function reviewAll(wanted: readonly Wanted[], world: World, checkConfig: CheckConfig) {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  for (const change of wanted) {
    if (change.kind === "delete") {
      problems.push(...reviewDeletion(world, change.key));
      continue;
    }
    const review = reviewResource(world, change.resource, checkConfig);
    const place = ({ path, message }: Problem) => ({ path: joinPath(change.at, path), message });
    problems.push(...review.problems.map(place));
    warnings.push(...review.warnings.map(place));
  }
  return { problems, warnings };
}

function findTwice(wanted: readonly Wanted[]): readonly Problem[] {
  const seen = new Set<string>();
  return wanted.flatMap((change) => {
    const name = renderKey(change.kind === "put" ? keyOf(change.resource) : change.key);
    if (!seen.has(name)) {
      seen.add(name);
      return [];
    }
    return [{ path: joinPath(change.at, "metadata.name"), message: `${name} comes twice in this body` }];
  });
}

function renderChange(change: Wanted): Change {
  if (change.kind === "delete") return { kind: "delete", key: change.key, expected: change.expected };
  const { resource, document } = change;
  return { kind: "put", key: keyOf(resource), document, expected: resource.metadata.resourceVersion };
}

function joinPath(at: string, path: string): string {
  return at === "" || path === "" ? at + path : `${at}.${path}`;
}
