// What control runs on a pushed artifact: everything in it is checked, and what proxies load is made here, never taken from the author.
import type { BundleRef, Digest } from "../../runtime/contract/bundle.ts";
import type { Parsed } from "../../runtime/contract/problem.ts";

/** A bundle that was checked: how snapshots name it, and the files that proxies fetch, by digest. */
export interface DerivedBundle {
  readonly ref: BundleRef;
  /** Every file of `ref.files`; filters that share an engine core share its digest. */
  readonly files: ReadonlyMap<Digest, Uint8Array>;
}

/** Checks a pushed artifact and derives what proxies load. Hostile bytes are problems, never an exception. */
export async function deriveBundle(artifact: Uint8Array): Promise<Parsed<DerivedBundle>> {
  return {
    ok: false,
    problems: [{ path: "", message: `artifact of ${artifact.length} bytes: deriving is not built yet` }],
  };
}
