// Compiled code on disk. It is native code that is mapped and run, so what was damaged or is not ours must never be: each
// file ends with the SHA-256 of what stands before, and files appear whole or not at all.
import { createHash } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../contract/bundle.ts";

const SUFFIX = ".cwasm";
const CHECKSUM_BYTES = 32;
/** Files that a folder keeps, those used last; each is some 7 MB. */
const FILES_MAX = 32;

/** Where the code of a component lies that this build of an engine compiled. */
export function codePath(folder: string, component: Digest, engine: string): string {
  return join(folder, `${component.replace(":", "-")}-${engine.replaceAll(/[^A-Za-z0-9.-]/gu, "_")}${SUFFIX}`);
}

/** Whether the file is there and as it was written; one that is not is removed. */
export async function isCodeIntact(path: string, nowMs: number): Promise<boolean> {
  let content: Buffer<ArrayBuffer>;
  try {
    content = Buffer.from(await Bun.file(path).arrayBuffer());
  } catch {
    // Not there, or not readable: it is compiled anew.
    return false;
  }
  const end = content.length - CHECKSUM_BYTES;
  const code = new Uint8Array(content.buffer, content.byteOffset, Math.max(0, end));
  const checksum = Buffer.from(await crypto.subtle.digest("SHA-256", code));
  if (end > 0 && checksum.equals(content.subarray(end))) {
    const now = new Date(nowMs);
    // The time of last use decides what is removed. A folder that cannot be written to keeps everything.
    await utimes(path, now, now).catch(() => undefined);
    return true;
  }
  await rm(path, { force: true });
  return false;
}

/** Writes a file whole, and removes those that were unused for longest. Throws what the file system says. */
export function writeCode(folder: string, path: string, code: Uint8Array): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.tmp`;
  const file = openSync(draft, "w", 0o600);
  try {
    for (const part of [code, createHash("sha256").update(code).digest()]) {
      for (let written = 0; written < part.length;) written += writeSync(file, part, written);
    }
    // Without it, a power cut after the rename may leave an empty file under the final name.
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => ({ name, usedAtMs: statSync(join(folder, name)).mtimeMs }))
    .toSorted((a, b) => b.usedAtMs - a.usedAtMs);
  for (const { name } of files.slice(FILES_MAX)) rmSync(join(folder, name), { force: true });
}
