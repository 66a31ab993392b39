// Keeps count of filters' trials, and tells control once a second what is new. Where nobody tries anything, nothing runs.
import type { Compared, TrialWatch } from "../chain/trial.ts";
import type { FilterUse } from "../contract/filter.ts";
import {
  countRun,
  DIFFERENCES_MAX,
  noCounts,
  type Difference,
  type TrialReport,
  type VersionCounts,
} from "../contract/trial.ts";
import type { Clock, Schedule } from "../exchange/exchange.ts";
import type { FilterRun } from "../exchange/observer.ts";
import { renderLabels } from "./labels.ts";

/** How often control is told. */
const REPORT_EVERY_MS = 1000;
/** Trials of one message. */
const TRIALS_MAX = 100;
/** Of one trial's differences in a message, characters: beyond it they are counted alone. */
const DIFFERENCES_MAX_LENGTH = 16 * 1024;
/** Of all differences in a message: one that is larger than control takes would cost the connection. */
const MESSAGE_MAX_LENGTH = 1024 * 1024;
const PATH_MAX_LENGTH = 1024;
const WORD_MAX_LENGTH = 64;
const ID_MAX_LENGTH = 256;
const REASON_MAX_LENGTH = 4096;

/** Hands reports on; `false` where nobody took them, and then they are told again with the next. */
export type TellTrials = (trials: TrialReport[]) => boolean;

export interface TrialReportsOptions {
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly tell: TellTrials;
  /** Told of each failure of a candidate, which its exchange does not show. */
  readonly failed: (run: FilterRun) => void;
  readonly stopped: (filter: string, reason: string) => void;
}

/** Totals for as long as the process runs. */
interface Totals {
  readonly runs: Record<"live" | "candidate", { ok: number; failed: number }>;
  compared: number;
  differed: number;
  skipped: number;
}

export class TrialReports {
  readonly #options: TrialReportsOptions;
  readonly #trials = new Set<Trial>();
  readonly #totals = new Map<string, Totals>();
  #isScheduled = false;

  constructor(options: TrialReportsOptions) {
    this.#options = options;
  }

  /** Keeps count of one use's trial. */
  watch(use: FilterUse): TrialWatch {
    const totals = this.#totals.get(use.name) ?? noTotals();
    this.#totals.set(use.name, totals);
    const trial = new Trial(use, totals, this.#options, () => this.#flush());
    this.#trials.add(trial);
    this.#schedule();
    return trial;
  }

  /** Lines of Prometheus' text format. */
  render(): string {
    const all = [...this.#totals];
    const lines = ["# TYPE vespid_filter_trial_runs_total counter"];
    for (const [filter, { runs }] of all) {
      for (const version of ["live", "candidate"] as const) {
        for (const outcome of ["ok", "failed"] as const) {
          const labels = renderLabels([
            ["filter", filter],
            ["version", version],
            ["outcome", outcome],
          ]);
          lines.push(`vespid_filter_trial_runs_total{${labels}} ${runs[version][outcome]}`);
        }
      }
    }
    for (const field of ["compared", "differed", "skipped"] as const) {
      const name = `vespid_filter_shadow_${field}_total`;
      lines.push(`# TYPE ${name} counter`);
      for (const [filter, totals] of all) lines.push(`${name}{${renderLabels([["filter", filter]])}} ${totals[field]}`);
    }
    return `${lines.join("\n")}\n`;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.schedule(() => {
      this.#isScheduled = false;
      this.#flush();
    }, REPORT_EVERY_MS);
  }

  #flush(): void {
    const due = [...this.#trials].filter(({ hasNews }) => hasNews).slice(0, TRIALS_MAX);
    if (due.length > 0 && this.#options.tell(reportsOf(due))) for (const trial of due) trial.told();
    for (const trial of this.#trials) if (trial.isEnded) this.#trials.delete(trial);
    if (this.#trials.size > 0) this.#schedule();
  }
}

/** All of them in one message; differences as far as there is room. */
function reportsOf(trials: readonly Trial[]): TrialReport[] {
  let room = MESSAGE_MAX_LENGTH;
  return trials.map((trial) => {
    const report = trial.report();
    if (trial.differencesLength > room) return { ...report, differences: [] };
    room -= trial.differencesLength;
    return report;
  });
}

class Trial implements TrialWatch {
  readonly #use: FilterUse;
  readonly #totals: Totals;
  readonly #options: TrialReportsOptions;
  readonly #changed: () => void;
  #live: VersionCounts = noCounts();
  #candidate: VersionCounts = noCounts();
  #compared = 0;
  #differed = 0;
  #skipped = 0;
  #differences: Difference[] = [];
  /** Of what they are as JSON. */
  differencesLength = 0;
  #stopped: string | undefined = undefined;
  isEnded = false;

  constructor(use: FilterUse, totals: Totals, options: TrialReportsOptions, changed: () => void) {
    this.#use = use;
    this.#totals = totals;
    this.#options = options;
    this.#changed = changed;
  }

  /** That it was stopped is told again and again: whoever heard it may have forgotten. */
  get hasNews(): boolean {
    const isStopped = this.#stopped !== undefined && !this.isEnded;
    return isStopped || this.#live.runs + this.#candidate.runs + this.#compared + this.#skipped > 0;
  }

  report(): TrialReport {
    return {
      filter: this.#use.name,
      trial: this.#use.candidate?.trial ?? "",
      live: this.#live,
      candidate: this.#candidate,
      compared: this.#compared,
      differed: this.#differed,
      skipped: this.#skipped,
      differences: this.#differences,
      ...(this.#stopped === undefined ? {} : { stopped: this.#stopped }),
    };
  }

  told(): void {
    this.#live = noCounts();
    this.#candidate = noCounts();
    this.#compared = 0;
    this.#differed = 0;
    this.#skipped = 0;
    this.#differences = [];
    this.differencesLength = 0;
  }

  ran(version: "live" | "candidate", hasFailed: boolean, tookMs: number): void {
    countRun(version === "live" ? this.#live : this.#candidate, hasFailed, tookMs);
    this.#totals.runs[version][hasFailed ? "failed" : "ok"]++;
  }

  candidateFailed({ phase, failure }: Parameters<TrialWatch["candidateFailed"]>[0]): void {
    this.#options.failed({
      filter: `${this.#use.name}~candidate`,
      phase,
      outcome: "failed",
      failure,
      fuel: 0,
      tookMs: 0,
    });
  }

  compared(difference: Compared | undefined): void {
    this.#compared++;
    this.#totals.compared++;
    if (difference === undefined) return;
    this.#differed++;
    this.#totals.differed++;
    if (this.#differences.length >= DIFFERENCES_MAX || this.differencesLength >= DIFFERENCES_MAX_LENGTH) return;
    const rendered = this.#render(difference);
    this.#differences.push(rendered);
    this.differencesLength += JSON.stringify(rendered).length;
  }

  skipped(): void {
    this.#skipped++;
    this.#totals.skipped++;
  }

  stopped(reason: string): void {
    this.#stopped = reason.slice(0, REASON_MAX_LENGTH);
    this.#options.stopped(this.#use.name, reason);
    // Control is to hear of it now.
    this.#changed();
  }

  ended(): void {
    this.isEnded = true;
    this.#changed();
  }

  #render({ phase, exchange, live, candidate }: Compared): Difference {
    const { requestId, method, path } = exchange;
    const [pathname = ""] = path.split("?");
    return {
      atMs: this.#options.clock.now(),
      requestId: requestId.slice(0, ID_MAX_LENGTH),
      phase,
      method: method.slice(0, WORD_MAX_LENGTH),
      path: pathname.slice(0, PATH_MAX_LENGTH),
      live,
      candidate,
    };
  }
}

function noTotals(): Totals {
  return {
    runs: { live: { ok: 0, failed: 0 }, candidate: { ok: 0, failed: 0 } },
    compared: 0,
    differed: 0,
    skipped: 0,
  };
}
