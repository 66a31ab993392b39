// The last snapshot that was applied, on disk, so that a proxy starts and serves while control is down.
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { MESSAGE_MAX_BYTES } from "../contract/protocol.ts";
import { Version } from "../contract/snapshot.ts";
import type { SyncLog } from "./sync.ts";

/** File name inside the state folder. */
export const LAST_GOOD_FILE = "last-good.json";

const LastGood = z.strictObject({ version: Version, snapshot: z.unknown() });
export type LastGood = z.infer<typeof LastGood>;

/** What ran before; `undefined` when nothing did, or (with a log line) when the file cannot be used. Its content is checked when it is applied. */
export async function loadLastGood(stateDir: string, log: SyncLog): Promise<LastGood | undefined> {
  const file = join(stateDir, LAST_GOOD_FILE);
  try {
    const text = await readFile(file, "utf8");
    if (text.length > 2 * MESSAGE_MAX_BYTES) throw new Error(`is ${text.length} characters long`);
    return LastGood.parse(JSON.parse(text));
  } catch (error) {
    if (!isMissing(error))
      log.warn({ file, error: String(error) }, "last good snapshot cannot be read, starting without it");
    return undefined;
  }
}

/** Replaces the file whole: a crash at any moment leaves the old one or the new one. A full disk costs the restart, not the proxy. */
export async function saveLastGood(stateDir: string, snapshot: unknown, version: Version, log: SyncLog): Promise<void> {
  const file = join(stateDir, LAST_GOOD_FILE);
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await replaceFile(file, JSON.stringify({ version, snapshot }));
  } catch (error) {
    log.warn({ file, error: String(error) }, "last good snapshot cannot be written, the next start needs control");
  }
}

/** Writes beside the target, flushes, renames. Only one writer per target. */
export async function replaceFile(file: string, content: string | Uint8Array): Promise<void> {
  const draft = `${file}.${process.pid}.tmp`;
  const handle = await open(draft, "w", 0o600);
  try {
    await handle.writeFile(content);
    // Without the flush, a power cut after the rename may leave an empty file under the final name.
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(draft, file);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
