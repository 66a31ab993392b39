// An author's file in this process, again each time that it changes: milliseconds, since what it imports of packages stays.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Manifest } from "../../runtime/contract/bundle.ts";
import type { Parsed } from "../../runtime/contract/problem.ts";
import { describeFilter, isFilter } from "../build/build.ts";
import { openBundler, type StayingBundler } from "../build/bundle.ts";
import { nativePlaces, type NamePlace } from "../build/failure-text.ts";
import { parseSourceMap } from "../build/source-map.ts";
import type { AnyFilter } from "../define-filter.ts";

/** A filter as its file says it now. */
export interface LoadedSource {
  readonly filter: AnyFilter;
  readonly manifest: Manifest;
  /** Names places in its failures. */
  readonly places: NamePlace;
  /** Every file that it is made of. */
  readonly inputs: readonly string[];
}

export class SourceLoader {
  readonly #path: string;
  readonly #bundler: StayingBundler;
  readonly #folder: string;
  #loads = 0;
  #last: string | undefined = undefined;

  static async open(path: string): Promise<SourceLoader> {
    const folder = await mkdtemp(join(tmpdir(), "vespid-dev-"));
    return new SourceLoader(path, await openBundler(path), folder);
  }

  private constructor(path: string, bundler: StayingBundler, folder: string) {
    this.#path = path;
    this.#bundler = bundler;
    this.#folder = folder;
  }

  /** Loads it as it is now, or says what is wrong with it. */
  async load(): Promise<Parsed<LoadedSource>> {
    const bundled = await this.#bundler.bundle();
    if (!bundled.ok) return bundled;
    const { script, sourceMap, inputs } = bundled.value;
    const file = join(this.#folder, `${++this.#loads}.mjs`);
    await Bun.write(file, script);
    const map = parseSourceMap(sourceMap);
    const others = nativePlaces(dirname(resolve(this.#path)));
    const places: NamePlace = (name, line, column) => {
      if (!name.startsWith(this.#folder)) return others(name, line, column);
      const found = map?.find(line, column);
      return found && `${found.source}:${found.line}:${found.column}`;
    };
    try {
      const loaded: { readonly default?: unknown } = await import(file);
      const filter = loaded.default;
      const manifest = describeFilter(filter);
      if (!manifest.ok) return manifest;
      if (!isFilter(filter)) return fault("its default export is no filter");
      // What was before is not imported again: let go of it.
      if (this.#last !== undefined) delete require.cache[this.#last];
      this.#last = file;
      return { ok: true, value: { filter, manifest: manifest.value, places, inputs } };
    } catch (error) {
      return fault(`does not load: ${String(error)}`);
    }
  }

  async stop(): Promise<void> {
    await this.#bundler.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function fault(message: string): Parsed<never> {
  return { ok: false, problems: [{ path: "", message }] };
}
