// Looks values up in a list that is written in its configuration, lies in a file, or is read from a service (Mixer's
// listchecker). What was read last is used while it cannot be read again, for a while.
import type { Callout } from "../chain/callout.ts";
import type { BackendOf } from "../contract/adapter.ts";
import type { Parsed } from "../contract/problem.ts";
import type { Result } from "../exchange/failure.ts";
import { ONCE, type AdapterAnswer, type Backend, type BackendParts, type Question } from "./adapter.ts";
import { compileEntries, readEntries, type IsListed } from "./list-entries.ts";
import { refusal } from "./refusal.ts";

/** Bytes of a list. */
const TEXT_MAX_BYTES = 16 * 1024 * 1024;
/** Until a list was read the first time: its service may become known with the snapshot that is being built. */
const FIRST_RETRY_MS = 500;

type ListConfig = BackendOf<"list">;

/** A list, or what is wrong with its entries. A file that is not there now is a problem; a service that does not answer is not. */
export async function buildList(parts: BackendParts<"list">): Promise<Parsed<Backend>> {
  const { config } = parts;
  const written = compileEntries(config.entryType, config.entries);
  if (!written.ok) return { ok: false, problems: [{ path: "backend.entries", message: written.error }] };
  const list = new List(parts, written.value);
  if (config.file !== undefined) {
    const read = await list.refresh();
    if (!read.ok && config.url === undefined)
      return { ok: false, problems: [{ path: "backend.file", message: read.error }] };
  } else if (config.url !== undefined) {
    list.refreshSoon();
  }
  const backend: Backend = {
    check: { ask: (question) => list.ask(question), keepsAnswers: false },
    stop: () => {
      list.stop();
      return Promise.resolve();
    },
  };
  return { ok: true, value: backend };
}

class List {
  readonly #parts: BackendParts<"list">;
  readonly #isWritten: IsListed;
  readonly #refused: AdapterAnswer;
  /** What was read; `undefined` before. */
  #isRead: IsListed | undefined = undefined;
  #readAtMs = 0;
  #lastFault = "was not read yet";
  #stopTimer: (() => void) | undefined = undefined;
  readonly #controller = new AbortController();

  constructor(parts: BackendParts<"list">, isWritten: IsListed) {
    this.#parts = parts;
    this.#isWritten = isWritten;
    const { name, config } = parts;
    const { status, message } = config;
    this.#refused = { kind: "refused", refusal: refusal({ adapter: name, status, message }), ...ONCE };
  }

  ask({ instance: { value } }: Question): AdapterAnswer {
    const { config, surroundings } = this.#parts;
    const isOutside = config.file !== undefined || config.url !== undefined;
    const ageMs = surroundings.clock.monotonic() - this.#readAtMs;
    if (isOutside && (this.#isRead === undefined || ageMs > config.staleForMs))
      return { kind: "failed", message: `its list ${this.#lastFault}` };
    // A value that an exchange does not have is in no list.
    const isListed = value !== undefined && (this.#isWritten(String(value)) || this.#isRead?.(String(value)) === true);
    return isListed === (config.mode === "allow") ? ALLOWED : this.#refused;
  }

  refreshSoon(): void {
    this.#schedule(0);
  }

  /** Reads the list again, now, and from now on. */
  async refresh(): Promise<Result<undefined, string>> {
    const { config, surroundings } = this.#parts;
    const text = await readText(config, surroundings.callout, this.#controller.signal);
    const compiled = text.ok ? compileEntries(config.entryType, readEntries(text.value)) : text;
    if (compiled.ok) {
      this.#isRead = compiled.value;
      this.#readAtMs = surroundings.clock.monotonic();
    } else {
      this.#lastFault = compiled.error;
      surroundings.observer.sendFailed(this.#parts.name, `its list ${compiled.error}`);
    }
    this.#schedule(this.#isRead === undefined ? Math.min(FIRST_RETRY_MS, config.refreshMs) : config.refreshMs);
    return compiled.ok ? { ok: true, value: undefined } : compiled;
  }

  stop(): void {
    this.#controller.abort();
    this.#stopTimer?.();
  }

  #schedule(afterMs: number): void {
    if (this.#controller.signal.aborted) return;
    this.#stopTimer = this.#parts.surroundings.schedule(() => void this.refresh(), afterMs);
  }
}

const ALLOWED: AdapterAnswer = { kind: "allowed", ...ONCE };

async function readText(
  { file, url }: ListConfig,
  callout: Callout,
  signal: AbortSignal,
): Promise<Result<string, string>> {
  if (file !== undefined) return readFile(file);
  if (url === undefined) return { ok: true, value: "" };
  const { cluster, authority, timeoutMs } = url.upstream;
  const request = { cluster, authority, method: "GET", path: url.path, headers: [], body: NOTHING, timeoutMs };
  const answered = await callout({ ...request, replyMaxBytes: TEXT_MAX_BYTES }, signal);
  if (!answered.ok) return { ok: false, error: `could not be read: ${answered.error.message}` };
  const { status, body } = answered.value;
  if (status !== 200) return { ok: false, error: `could not be read: ${cluster} answered ${status}` };
  return { ok: true, value: new TextDecoder().decode(body) };
}

const NOTHING = new Uint8Array(0);

async function readFile(path: string): Promise<Result<string, string>> {
  try {
    const file = Bun.file(path);
    if (file.size > TEXT_MAX_BYTES) return { ok: false, error: `is ${file.size} bytes, limit is ${TEXT_MAX_BYTES}` };
    return { ok: true, value: await file.text() };
  } catch (error) {
    // Not there, or not to be read.
    return { ok: false, error: `could not be read: ${error instanceof Error ? error.message : String(error)}` };
  }
}
