// What the terminal shows: drawn over itself on a terminal, plain lines elsewhere.
import type { VisitReport } from "./visitors.ts";

export interface ViewState extends VisitReport {
  readonly elapsedMs: number;
  /** What the mesh was told last. */
  readonly step: string;
  /** What one call of the pushed filter costs; `undefined` before it runs. */
  readonly filter: string | undefined;
}

/** Where the demo tells what happens. */
export interface View {
  /** Something happened: stays readable. */
  say(line: string): void;
  /** How things stand: replaced by the next. */
  show(state: ViewState): void;
}

const BAR_CELLS = 30;
const CLEAR_DOWN = "\u001B[J";

/** Where a view writes: a process's standard output. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** A view that draws in place on a terminal, and prints a line a call elsewhere. */
export function openView(out: Terminal): View {
  if (out.isTTY !== true) {
    return {
      say: (line) => out.write(`${line}\n`),
      show: (state) => out.write(`${renderLine(state)}\n`),
    };
  }
  let drawn = 0;
  const back = () => (drawn === 0 ? "" : `\u001B[${drawn}F${CLEAR_DOWN}`);
  return {
    say: (line) => {
      out.write(`${back()}${line}\n`);
      drawn = 0;
    },
    show: (state) => {
      // A line that wraps would be two, and the next picture would start too low.
      const lines = renderPanel(state).map((line) => line.slice(0, out.columns));
      // One write, so that nobody sees half a picture.
      out.write(`${back()}${lines.join("\n")}\n`);
      drawn = lines.length;
    },
  };
}

/** The panel of a terminal. */
export function renderPanel(state: ViewState): readonly string[] {
  const shares = Object.entries(state.shares).map(([version, share], index) => {
    const bar = "█".repeat(Math.round(share * BAR_CELLS)).padEnd(BAR_CELLS, "░");
    return `  ${index === 0 ? "reviews " : "        "} ${version} ${bar} ${renderPercent(share)}`;
  });
  return [
    "",
    `  ${renderClock(state.elapsedMs)}     ${state.step}`,
    "",
    `  requests  ${state.requests.toLocaleString("en-US")}, ${state.perSecond.toFixed(0)} a second, failed ${state.failed}`,
    `  latency   p50 ${renderMs(state.p50Ms)}, p99 ${renderMs(state.p99Ms)}`,
    ...shares,
    `  filter    ${state.filter ?? "none yet"}`,
    "",
  ];
}

/** The same in one line. */
export function renderLine(state: ViewState): string {
  const shares = Object.entries(state.shares).map(([version, share]) => `${version} ${renderPercent(share).trim()}`);
  return [
    renderClock(state.elapsedMs),
    `${state.perSecond.toFixed(0)}/s`,
    `p50 ${renderMs(state.p50Ms)}`,
    `p99 ${renderMs(state.p99Ms)}`,
    shares.join(" "),
    `failed ${state.failed}`,
    ...(state.filter === undefined ? [] : [`filter ${state.filter}`]),
  ].join("  ");
}

function renderClock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
}

function renderMs(ms: number): string {
  return Number.isNaN(ms) ? "–" : `${ms.toFixed(1)} ms`;
}

function renderPercent(share: number): string {
  return `${(share * 100).toFixed(0).padStart(3)} %`;
}
