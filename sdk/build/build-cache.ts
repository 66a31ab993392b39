// What building made before, by the digest of what it was made from: the engine's core is metered once, and a filter that did
// not change is not built again. Entries are checked when they are read; whoever makes them from hostile bytes gains nothing,
// since an entry is only ever found by those bytes.
import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** All entries together; the one that was unused for longest goes. */
const CACHE_MAX_BYTES = 256 * 1024 * 1024;
const DIGEST_BYTES = 32;

export class BuildCache {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What was made of these parts; `undefined` where it is not there, or not whole. */
  async read(kind: string, parts: readonly (string | Uint8Array)[]): Promise<Uint8Array | undefined> {
    const path = await this.#pathOf(kind, parts);
    try {
      const bytes = await Bun.file(path).bytes();
      const content = bytes.subarray(DIGEST_BYTES);
      if (!sha256(content).equals(bytes.subarray(0, DIGEST_BYTES))) return undefined;
      const now = new Date();
      await utimes(path, now, now);
      return content;
    } catch {
      // Not there, or not readable: made again.
      return undefined;
    }
  }

  /** Keeps what was made of these parts. A disk that does not take it costs the next build its time. */
  async write(kind: string, parts: readonly (string | Uint8Array)[], content: Uint8Array): Promise<void> {
    const path = await this.#pathOf(kind, parts);
    const part = `${path}.${process.pid}.part`;
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await Bun.write(part, Buffer.concat([sha256(content), content]));
      await rename(part, path);
      await this.#evict();
    } catch {
      // Full, read-only, or somebody else's.
      await rm(part, { force: true }).catch(() => undefined);
    }
  }

  async #pathOf(kind: string, parts: readonly (string | Uint8Array)[]): Promise<string> {
    const hash = createHash("sha256").update(await toolsDigest());
    for (const part of parts) hash.update(`${part.length} `).update(part);
    return join(this.#folder, `${kind}-${hash.digest("hex")}`);
  }

  async #evict(): Promise<void> {
    const files = await Promise.all(
      (await readdir(this.#folder)).map(async (name) => {
        const { size, mtimeMs } = await stat(join(this.#folder, name));
        return { name, size, mtimeMs };
      }),
    );
    let total = files.reduce((sum, { size }) => sum + size, 0);
    for (const { name, size } of files.toSorted((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= CACHE_MAX_BYTES) return;
      await rm(join(this.#folder, name), { force: true });
      total -= size;
    }
  }
}

/** The user's cache: `VESPID_CACHE`, else `vespid` in the folder that the system has for caches. */
export function openBuildCache(): BuildCache {
  const { VESPID_CACHE: own, XDG_CACHE_HOME: system } = process.env;
  return new BuildCache(own ?? join(system ?? join(homedir(), ".cache"), "vespid"));
}

/** Everything is made again where this file or what makes it has changed. */
function toolsDigest(): Promise<string> {
  tools ??= digestTools();
  return tools;
}

let tools: Promise<string> | undefined;

async function digestTools(): Promise<string> {
  const hash = createHash("sha256");
  const own = [...new Bun.Glob("*.ts").scanSync(import.meta.dir)].filter((name) => !name.endsWith(".test.ts"));
  for (const name of own.toSorted()) hash.update(await Bun.file(join(import.meta.dir, name)).bytes());
  for (const name of ["@bytecodealliance/jco", "esbuild"]) {
    hash.update(await Bun.file(Bun.resolveSync(`${name}/package.json`, import.meta.dir)).bytes());
  }
  return hash.digest("hex");
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
