// What is wanted, kept: resources with their revisions, and bundles by their digest. Synchronous, so that a check and the write that depends on it cannot be interleaved.
import type { BundleRef, Digest } from "../../runtime/contract/bundle.ts";
import type { Result } from "./result.ts";
import type { Kind, ResourceKey } from "../resource/resource.ts";

/** A resource as its author wrote it, without what servers add. */
export interface Document {
  readonly apiVersion: string;
  readonly kind: Kind;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: unknown;
}

export interface StoredResource {
  readonly key: ResourceKey;
  readonly document: Document;
  /** The store-wide revision that last changed it; `metadata.resourceVersion` is this number as text. */
  readonly revision: number;
  /** The revision that created it: what was created first is older. */
  readonly createdRevision: number;
  readonly createdAtMs: number;
}

/** One wanted change. `expected`: only if this is still the resource's version. */
export type Change =
  | {
      readonly kind: "put";
      readonly key: ResourceKey;
      readonly document: Document;
      readonly expected: string | undefined;
    }
  | { readonly kind: "delete"; readonly key: ResourceKey; readonly expected: string | undefined };

/** `dry_run` says what would happen, and does nothing. */
export type ApplyMode = "commit" | "dry_run";

export type ChangeAction = "created" | "updated" | "unchanged" | "deleted";

/** What became of a set of changes: one revision for all that changed something, the last one when nothing did. */
export interface Applied {
  readonly revision: number;
  /** In the order of the changes. */
  readonly actions: readonly ChangeAction[];
}

/** Why a set of changes was refused. Nothing of it happened. */
export interface Refusal {
  /** Index of the change. */
  readonly index: number;
  readonly key: ResourceKey;
  readonly kind: "conflict" | "missing";
  readonly expected: string | undefined;
  readonly actual: string | undefined;
}

/** One change in the history. */
export interface Revision {
  readonly revision: number;
  readonly atMs: number;
  readonly key: ResourceKey;
  readonly action: Exclude<ChangeAction, "unchanged">;
  /** As it was after the change; absent for a deletion. */
  readonly document: Document | undefined;
}

export interface ListQuery {
  readonly kind?: Kind | undefined;
  readonly namespace?: string | undefined;
  /** The last key of the page before. */
  readonly after?: ResourceKey | undefined;
  readonly countMax: number;
}

export interface ResourceStore {
  /** All or nothing, durable when it returns: `kill -9` right after loses none of it. No key may come twice. */
  apply(changes: readonly Change[], atMs: number, mode: ApplyMode): Result<Applied, readonly Refusal[]>;
  get(key: ResourceKey): StoredResource | undefined;
  /** By kind, namespace and name. */
  list(query: ListQuery): readonly StoredResource[];
  /** Every resource, oldest first. */
  all(): readonly StoredResource[];
  /** Of the last change; `0` before the first. */
  revision(): number;
  /** Newest first, before the revision `before`; the newest 10,000 are kept. */
  history(query: {
    readonly key?: ResourceKey;
    readonly before?: number;
    readonly countMax: number;
  }): readonly Revision[];
  /** A setting of control itself. */
  readSetting(name: string): string | undefined;
  writeSetting(name: string, value: string): void;
}

export interface StoredBundle {
  readonly ref: BundleRef;
  /** Of the artifact, bytes. */
  readonly sizeBytes: number;
  readonly createdAtMs: number;
}

export interface BundleStore {
  /** Does nothing where the bundle is there already. */
  putBundle(bundle: StoredBundle, blobs: ReadonlyMap<Digest, Uint8Array>): void;
  getBundle(digest: Digest): StoredBundle | undefined;
  /** Oldest first. */
  listBundles(): readonly StoredBundle[];
  /** Removes its blobs too, but for those that other bundles share. `false` when it was not there. */
  deleteBundle(digest: Digest): boolean;
  getBlob(digest: Digest): Uint8Array | undefined;
}

export interface Store extends ResourceStore, BundleStore {
  close(): void;
}
