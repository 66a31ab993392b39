// One scrape of all workers: what each counts, summed. A worker that ended keeps its counts: they are added to those of the
// living from then on, so that no sum ever goes back. What it counted after it was last asked is lost with it, unless it
// drained: then its last word holds everything.

/** Kinds of families whose samples are counts. */
const COUNTED = new Set(["counter", "histogram", "summary"]);
/** Gauges that say the same in each worker, or of which the largest tells: every other gauge is summed. */
const LARGEST = new Set([
  "envoy_cluster_membership_total",
  "envoy_cluster_membership_healthy",
  "vespid_process_uptime_seconds",
]);
/** Samples of ended workers that are kept, some hundred bytes each; beyond it a new one is forgotten with its worker. */
const RETIRED_MAX = 100_000;

interface Family {
  readonly type: string;
  /** By name and labels, as they are written. */
  readonly samples: Map<string, number>;
}

/** Families in the order in which they were first seen. */
type Families = Map<string, Family>;

export class Ledger {
  readonly #retired: Families = new Map();
  #retiredSamples = 0;

  /** Adds the counts of a worker that ended. `text` is its last scrape. */
  retire(text: string): void {
    for (const [name, { type, samples }] of readExposition(text)) {
      if (!COUNTED.has(type)) continue;
      const family = familyOf(this.#retired, name, type);
      for (const [key, value] of samples) {
        const before = family.samples.get(key);
        if (before === undefined && this.#retiredSamples >= RETIRED_MAX) continue;
        if (before === undefined) this.#retiredSamples++;
        family.samples.set(key, (before ?? 0) + value);
      }
    }
  }

  /** One exposition of all of these and of the workers that ended. */
  merge(texts: readonly string[]): string {
    const merged: Families = new Map();
    for (const families of [...texts.map(readExposition), this.#retired]) {
      for (const [name, { type, samples }] of families) {
        const family = familyOf(merged, name, type);
        const isLargest = LARGEST.has(name);
        for (const [key, value] of samples) {
          const before = family.samples.get(key);
          if (before === undefined) family.samples.set(key, value);
          else family.samples.set(key, isLargest ? Math.max(before, value) : before + value);
        }
      }
    }
    return renderExposition(merged);
  }

  /** The counts of ended workers, to be retired again by another ledger. */
  get retired(): string {
    return renderExposition(this.#retired);
  }
}

function familyOf(families: Families, name: string, type: string): Family {
  const known = families.get(name);
  if (known !== undefined) return known;
  const family: Family = { type, samples: new Map() };
  families.set(name, family);
  return family;
}

/** Reads Prometheus' text format as our own exposition writes it: each family's `# TYPE` before its samples. */
function readExposition(text: string): Families {
  const families: Families = new Map();
  let family = familyOf(families, "", "untyped");
  for (const line of text.split("\n")) {
    if (line.startsWith("# TYPE ")) {
      const [, , name = "", type = "untyped"] = line.split(" ");
      family = familyOf(families, name, type);
    } else if (line !== "" && !line.startsWith("#")) {
      const space = line.lastIndexOf(" ");
      family.samples.set(line.slice(0, space), Number(line.slice(space + 1)));
    }
  }
  return families;
}

function renderExposition(families: Families): string {
  const lines: string[] = [];
  for (const [name, { type, samples }] of families) {
    if (name !== "") lines.push(`# TYPE ${name} ${type}`);
    for (const [key, value] of samples) lines.push(`${key} ${value}`);
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** Counts of the `/clusters` page that add up; other values are the same in each worker, or are told beside each other. */
const ADDED = /^(?:rq|cx)_/u;

/** One `/clusters` page of the pages of all workers. */
export function mergeClusters(pages: readonly string[]): string {
  const merged = new Map<string, string>();
  for (const page of pages) {
    for (const line of page.split("\n")) {
      const cut = line.lastIndexOf("::");
      if (cut < 0) continue;
      const [key, value] = [line.slice(0, cut), line.slice(cut + 2)];
      const before = merged.get(key);
      const name = key.slice(key.lastIndexOf("::") + 2);
      if (before === undefined) merged.set(key, value);
      else if (ADDED.test(name)) merged.set(key, String(Number(before) + Number(value)));
      else if (!before.split("/").includes(value)) merged.set(key, `${before}/${value}`);
    }
  }
  return `${[...merged].map(([key, value]) => `${key}::${value}`).join("\n")}\n`;
}
