// Files of bundles by their digest: from the cache where they are, else from control, and never unverified.
import { mkdir, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { BundleFile, Digest } from "../contract/bundle.ts";
import { BLOBS_PATH } from "../contract/protocol.ts";
import type { Random } from "../exchange/exchange.ts";
import type { Result } from "../exchange/failure.ts";
import { jitteredBackoffMs } from "./backoff.ts";
import { replaceFile } from "./last-good.ts";
import type { SyncLog, SyncTiming } from "./sync.ts";

export interface FileCache {
  fetchFile(file: BundleFile): Promise<Result<Uint8Array, string>>;
  /** Gives up what is being fetched. */
  stop(): void;
}

export interface FileCacheOptions {
  readonly control: string;
  readonly directory: string;
  readonly timing: Pick<SyncTiming, "fetchAttempts" | "fetchRetryMs" | "fetchTimeoutMs" | "cacheMaxBytes">;
  readonly random: Random;
  readonly log: SyncLog;
  readonly now: () => number;
}

type Fetched = Result<Uint8Array, string>;
/** An attempt's error, and whether another attempt may end differently. */
type Attempt =
  | { readonly ok: true; readonly value: Uint8Array }
  | { readonly ok: false; readonly error: string; readonly isFinal: boolean };

export function createFileCache({ control, directory, timing, random, log, now }: FileCacheOptions): FileCache {
  /** Two filters with one engine core fetch it once. */
  const inFlight = new Map<Digest, Promise<Fetched>>();
  const stopped = new AbortController();

  async function fetchFile(file: BundleFile): Promise<Fetched> {
    const cached = await readCached(directory, file, now);
    if (cached !== undefined) return { ok: true, value: cached };
    const fetched = await fetchWithRetries(file);
    if (fetched.ok) await keep(file, fetched.value);
    return fetched;
  }

  async function fetchWithRetries(file: BundleFile): Promise<Fetched> {
    let error = "was not fetched";
    for (let attempt = 0; attempt < timing.fetchAttempts && !stopped.signal.aborted; attempt += 1) {
      if (attempt > 0) await pause(jitteredBackoffMs(attempt - 1, timing.fetchRetryMs, 5000, random), stopped.signal);
      const result = await fetchOnce(control, file, timing.fetchTimeoutMs, stopped.signal);
      if (result.ok) return result;
      ({ error } = result);
      if (result.isFinal) break;
    }
    return { ok: false, error: `${file.name} (${file.digest}) ${error}` };
  }

  async function keep(file: BundleFile, bytes: Uint8Array): Promise<void> {
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await replaceFile(pathOf(directory, file.digest), bytes);
      await evict(directory, timing.cacheMaxBytes, file.digest);
    } catch (error) {
      log.warn({ directory, error: String(error) }, "a fetched file cannot be cached, the next start needs control");
    }
  }

  return {
    fetchFile(file) {
      const pending = inFlight.get(file.digest) ?? fetchFile(file).finally(() => inFlight.delete(file.digest));
      inFlight.set(file.digest, pending);
      return pending;
    },
    stop: () => stopped.abort(),
  };
}

async function fetchOnce(control: string, file: BundleFile, timeoutMs: number, stopped: AbortSignal): Promise<Attempt> {
  try {
    const url = new URL(`${BLOBS_PATH}/${file.digest}`, control);
    const reply = await fetch(url, {
      signal: AbortSignal.any([stopped, AbortSignal.timeout(timeoutMs)]),
      redirect: "error",
    });
    if (!reply.ok) {
      await reply.body?.cancel();
      // What control does not have now it will not have in a second; a 5xx may pass.
      return {
        ok: false,
        error: `could not be fetched: control answered ${reply.status}`,
        isFinal: reply.status === 404,
      };
    }
    const bytes = await readBounded(reply, file.sizeBytes);
    if (bytes === undefined) return refusal(`is larger than the ${file.sizeBytes} bytes that the snapshot names`);
    if (bytes.length !== file.sizeBytes)
      return refusal(`is ${bytes.length} bytes, the snapshot names ${file.sizeBytes}`);
    if (digestOf(bytes) !== file.digest) return refusal("does not have this digest");
    return { ok: true, value: bytes };
  } catch (error) {
    // What fetch throws: refused, reset, timed out, stopped.
    return refusal(`could not be fetched: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function refusal(error: string): Attempt {
  return { ok: false, error, isFinal: false };
}

/** The body, or `undefined` as soon as it is larger than it may be. */
async function readBounded(reply: Response, bytesMax: number): Promise<Uint8Array | undefined> {
  if (reply.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of reply.body) {
    length += chunk.length;
    // Leaving the loop cancels the stream, so a server that never ends is not read to the end.
    if (length > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** The cached file; one that does not have its digest (a bad disk, a stranger's edit) is removed and fetched again. */
async function readCached(directory: string, file: BundleFile, now: () => number): Promise<Uint8Array | undefined> {
  const path = pathOf(directory, file.digest);
  try {
    const bytes = await readFile(path);
    if (digestOf(bytes) === file.digest) {
      const { mtime } = await stat(path);
      // The time of last use decides what is evicted. Access times are off on most disks, so it is kept in `mtime`.
      await utimes(path, mtime, new Date(now()));
      return bytes;
    }
    await rm(path, { force: true });
  } catch {
    // Not there, or not readable: fetched instead.
  }
  return undefined;
}

/** Removes what was unused for longest until the rest fits. The file just written stays. */
async function evict(directory: string, bytesMax: number, newest: Digest): Promise<void> {
  const names = await readdir(directory);
  const files = await Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs } = await stat(join(directory, name));
      return { name, size, mtimeMs };
    }),
  );
  const kept = fileNameOf(newest);
  let total = files.reduce((sum, { size }) => sum + size, 0);
  for (const { name, size } of files.toSorted((a, b) => a.mtimeMs - b.mtimeMs)) {
    if (total <= bytesMax) return;
    if (name === kept) continue;
    await rm(join(directory, name), { force: true });
    total -= size;
  }
}

function pathOf(directory: string, digest: Digest): string {
  return join(directory, fileNameOf(digest));
}

function fileNameOf(digest: Digest): string {
  return digest.replace(":", "-");
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

function pause(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(finish, ms);
    stopped.addEventListener("abort", finish, { once: true });
    function finish() {
      clearTimeout(timer);
      stopped.removeEventListener("abort", finish);
      resolve();
    }
  });
}
