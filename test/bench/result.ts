// What every benchmark answers with, how it reads as a table, and which of its figures passed their limit.

/** One measured figure. */
export interface BenchRow {
  /** What was measured, unique in its result: `vespid ÷ nginx`. */
  readonly figure: string;
  readonly value: number;
  readonly unit: string;
  /** `--check` fails above this. */
  readonly limit?: number;
  /** Where to go from there; nothing fails above it. */
  readonly want?: number;
  /** How it came about, where the name does not say. */
  readonly note?: string;
}

/** One benchmark's answer. */
export interface BenchResult {
  readonly name: string;
  /** The question, as a sentence that the rows answer. */
  readonly question: string;
  readonly rows: readonly BenchRow[];
}

/** What a benchmark is told. */
export interface BenchOptions {
  /** Fewer and shorter rounds: shows that it runs, its figures are rough. */
  readonly isQuick: boolean;
  /** Whether a part of the benchmark was asked for: all of them, or the one that `--part` names. */
  readonly hasPart: (part: string) => boolean;
  /** How long to run, where that is the reader's choice (`soak`). */
  readonly seconds: number | undefined;
  /** Tells a person what is going on; goes to stderr. */
  readonly progress: (line: string) => void;
}

/** What a file in this folder exports to be run as `bun run bench <file name>`. */
export interface Benchmark {
  readonly question: string;
  /** What `--part` may name. */
  readonly parts?: readonly string[];
  readonly run: (options: BenchOptions) => Promise<BenchResult>;
}

/** The rows above their limit. */
export function findPassedLimits(result: BenchResult): readonly BenchRow[] {
  // A figure that could not be measured (NaN) is no proof that the limit holds.
  return result.rows.filter(({ value, limit }) => limit !== undefined && !(value <= limit));
}

/** A table for people. */
export function renderResult(result: BenchResult): string {
  const cells = result.rows.map((row) => [
    row.figure,
    renderNumber(row.value),
    row.unit,
    renderBound(row.limit),
    renderBound(row.want),
    row.note ?? "",
  ]);
  const header = ["figure", "value", "unit", "limit", "want", "note"];
  const widths = header.map((title, column) =>
    Math.max(title.length, ...cells.map((line) => (line[column] ?? "").length)),
  );
  const renderLine = (line: readonly string[]) =>
    line
      .map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  return [`${result.name}: ${result.question}`, "", renderLine(header), rule, ...cells.map(renderLine)].join("\n");
}

/** One line that names a figure above its limit: the last line of a failed `--check`. */
export function renderPassedLimit(row: BenchRow): string {
  return `${row.figure} is ${renderNumber(row.value)} ${row.unit}, limit is ${renderNumber(row.limit ?? Number.NaN)} ${row.unit}`;
}

/** The middle value; of an even count the mean of the two in the middle. `NaN` of none. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value below which `share` (`0`–`1`) of the values lie, interpolated. `NaN` of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * share;
  const low = sorted[Math.floor(position)] ?? Number.NaN;
  const high = sorted[Math.ceil(position)] ?? Number.NaN;
  return low + (high - low) * (position - Math.floor(position));
}

function renderBound(bound: number | undefined): string {
  return bound === undefined ? "" : `≤ ${renderNumber(bound)}`;
}

/** Three significant digits are what a shared machine can tell. */
function renderNumber(value: number): string {
  if (Number.isNaN(value)) return "n/a";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}
