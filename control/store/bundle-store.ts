// Bundles and their files, content-addressed, in the store's database: one file to back up, and no file without its record.
import type { Database } from "bun:sqlite";
import { BundleRef, type Digest } from "../../runtime/contract/bundle.ts";
import type { BundleStore, StoredBundle } from "./store.ts";

interface BundleRow {
  readonly ref: string;
  readonly size_bytes: number;
  readonly created_at_ms: number;
}

/** Works on tables that `sqlite-store.ts` made. */
export function createBundleStore(database: Database): BundleStore {
  const findBundle = database.query<BundleRow, [string]>("SELECT * FROM bundles WHERE digest = ?");
  const findBundles = database.query<BundleRow, []>("SELECT * FROM bundles ORDER BY created_at_ms, digest");
  const findBlob = database.query<{ bytes: Uint8Array }, [string]>("SELECT bytes FROM blobs WHERE digest = ?");
  const addBundle = database.query("INSERT INTO bundles VALUES (?, ?, ?, ?)");
  const addBlob = database.query("INSERT INTO blobs VALUES (?, ?) ON CONFLICT DO NOTHING");
  const addLink = database.query("INSERT INTO bundle_blobs VALUES (?, ?)");
  const removeBundle = database.query("DELETE FROM bundles WHERE digest = ?");
  const removeLinks = database.query("DELETE FROM bundle_blobs WHERE bundle = ?");
  const removeOrphans = database.query("DELETE FROM blobs WHERE digest NOT IN (SELECT blob FROM bundle_blobs)");

  const put = database.transaction(
    ({ ref, sizeBytes, createdAtMs }: StoredBundle, blobs: ReadonlyMap<Digest, Uint8Array>) => {
      if (findBundle.get(ref.digest) !== null) return;
      addBundle.run(ref.digest, JSON.stringify(ref), sizeBytes, createdAtMs);
      for (const [digest, bytes] of blobs) {
        addBlob.run(digest, bytes);
        addLink.run(ref.digest, digest);
      }
    },
  );
  const remove = database.transaction((digest: Digest) => {
    const { changes } = removeBundle.run(digest);
    removeLinks.run(digest);
    removeOrphans.run();
    return changes > 0;
  });

  return {
    putBundle: (bundle, blobs) => put.immediate(bundle, blobs),
    getBundle(digest) {
      const row = findBundle.get(digest);
      return row === null ? undefined : readRow(row);
    },
    listBundles: () => findBundles.all().map(readRow),
    deleteBundle: (digest) => remove.immediate(digest),
    getBlob: (digest) => findBlob.get(digest)?.bytes,
  };
}

function readRow({ ref, size_bytes: sizeBytes, created_at_ms: createdAtMs }: BundleRow): StoredBundle {
  return { ref: BundleRef.parse(JSON.parse(ref)), sizeBytes, createdAtMs };
}
