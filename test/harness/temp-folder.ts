// A folder for what a test writes.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder of its own, removed with all that is in it on disposal. */
export interface TempFolder extends AsyncDisposable {
  readonly path: string;
  file(name: string): string;
}

/** Makes a folder under the system's temporary one. */
export async function makeTempFolder(): Promise<TempFolder> {
  const path = await mkdtemp(join(tmpdir(), "vespid-"));
  return {
    path,
    file: (name) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
