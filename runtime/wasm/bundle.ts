// A bundle's files, fetched by digest and verified: what is compiled is what the snapshot named, byte for byte.
import { createHash } from "node:crypto";
import type { BundleFile } from "../contract/bundle.ts";
import type { Result } from "../exchange/failure.ts";
import type { LoadedFile } from "./engine.ts";

/** Fetches one file by digest; from control, a disk or a test. */
export type FetchFile = (file: BundleFile) => Promise<Result<Uint8Array, string>>;

/** Fetches files one after the other; the first that is missing or not what its digest says ends it. */
export async function loadFiles(
  files: readonly BundleFile[],
  fetchFile: FetchFile,
): Promise<Result<readonly LoadedFile[], string>> {
  const loaded: LoadedFile[] = [];
  for (const file of files) {
    const fetched = await fetchFile(file);
    if (!fetched.ok)
      return { ok: false, error: `${file.name} (${file.digest}) could not be fetched: ${fetched.error}` };
    const bytes = fetched.value;
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    if (digest !== file.digest)
      return { ok: false, error: `${file.name} has digest ${digest}, must have ${file.digest}` };
    loaded.push({ ...file, bytes });
  }
  return { ok: true, value: loaded };
}
