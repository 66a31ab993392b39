// Notices that an author saved something.
import { watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";

/** Editors write a file in several steps. */
const QUIET_MS = 5;
/** What is neither source nor configuration, and tests, which the filter does not import. */
const WATCHED = /^[^.].*\.(?:[cm]?[jt]sx?|json|ya?ml)$/u;
const TESTS = /\.test\.[cm]?[jt]sx?$/u;

/** Watches folders. */
export class Changes {
  readonly #onChange: (file: string, noticedAtMs: number) => void;
  readonly #watchers = new Map<string, FSWatcher>();
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(onChange: (file: string, noticedAtMs: number) => void) {
    this.#onChange = onChange;
  }

  /** Watches the folders of these files too. */
  watch(files: readonly string[]): void {
    for (const folder of new Set(files.map((file) => dirname(file)))) {
      if (this.#watchers.has(folder) || folder.includes("/node_modules/")) continue;
      const watcher = watch(folder, (_, file) => this.#noticed(file ?? ""));
      // A folder that goes away is no longer watched; what was imported from it fails the next load, which says so.
      watcher.on("error", () => watcher.close());
      this.#watchers.set(folder, watcher);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
  }

  #noticed(file: string): void {
    const name = basename(file);
    if (!WATCHED.test(name) || TESTS.test(name)) return;
    const noticedAtMs = performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onChange(name, noticedAtMs), QUIET_MS);
  }
}
