// Failures of sandboxed filters by the lines of their authors' files. The map comes with the bundle, and is read when a
// failure is told: off the request path, and kept for the next.
import { explainFailure, GUEST_SCRIPT, guestPlaces, type NamePlace } from "../../sdk/build/failure-text.ts";
import { parseSourceMap } from "../../sdk/build/source-map.ts";
import type { BundleRef, Digest } from "../contract/bundle.ts";
import type { FetchFile } from "./bundle.ts";

/** The name that derived bundles give the map. */
const SOURCE_MAP_FILE = "source-map.json";
type LineFields = Readonly<Record<string, unknown>>;
type WriteLine = (fields: LineFields, message: string) => void;

/** Maps that are kept; the one that was read first goes. */
const MAPS_MAX = 16;

export class FailureLines {
  readonly #fetchFile: FetchFile;
  readonly #places = new Map<Digest, Promise<NamePlace>>();

  constructor(fetchFile: FetchFile) {
    this.#fetchFile = fetchFile;
  }

  /** Writes a line of a filter's; one that names places of the bundle is written once they are known. */
  write(fields: LineFields, message: string, bundle: () => BundleRef | undefined, write: WriteLine): void {
    const { reason = "" } = fields;
    const isTold = (typeof reason === "string" && reason.includes(GUEST_SCRIPT)) || message.includes(GUEST_SCRIPT);
    const known = isTold ? bundle() : undefined;
    if (known === undefined) return write(fields, message);
    void Promise.all([this.explain(known, String(reason)), this.explain(known, message)]).then(([why, what]) =>
      write(reason === "" ? fields : { ...fields, reason: why }, what),
    );
  }

  /** The text with places of the author's files; without a map, what it says alone. */
  async explain(bundle: BundleRef, text: string): Promise<string> {
    const file = bundle.files.find(({ name }) => name === SOURCE_MAP_FILE);
    if (file === undefined) return explainFailure(text, guestPlaces(undefined));
    let places = this.#places.get(file.digest);
    if (places === undefined) {
      places = this.#fetchFile(file).then((fetched) =>
        guestPlaces(fetched.ok ? parseSourceMap(new TextDecoder().decode(fetched.value)) : undefined),
      );
      const [oldest] = this.#places.keys();
      if (this.#places.size >= MAPS_MAX && oldest !== undefined) this.#places.delete(oldest);
      this.#places.set(file.digest, places);
    }
    return explainFailure(text, await places);
  }
}
