// Proxies measured beside each other: the same load on each in turn, round by round, so that what else the machine does
// falls on all of them; and the rows that come of it.
import type { Peer } from "../harness/peers.ts";
import { cpuTimeUs, moveToCore } from "./cpu.ts";
import type { LoadReport } from "./load.ts";
import { median, type BenchOptions, type BenchRow } from "./result.ts";

/** The proxy has a core of its own; what sends to it and what it sends to share the other. */
export const PROXY_CORE = 0;
export const LOAD_CORE = 1;

/** One proxy, or a chain of them, under test. */
export interface Contender {
  readonly name: string;
  /** Where its clients connect. */
  readonly port: number;
  /** What its cost is the sum of. */
  readonly pids: readonly number[];
}

/** What was measured of a contender, a figure for each round. */
export interface Laps {
  /** CPU time of one unit of work, µs; `NaN` where the load was not served. */
  readonly cpuUs: number[];
  readonly perSecond: number[];
  readonly p50Ms: number[];
  readonly p99Ms: number[];
}

/** By contender, in the order they ran. */
export type Standings = ReadonlyMap<string, Laps>;

/** How a contest is run. */
export interface Contest {
  readonly contenders: readonly Contender[];
  /** Names its figures: `saturated`. */
  readonly label: string;
  readonly rounds: number;
  /** A short load on each before the first round, so that code is compiled and connections are open. */
  readonly warmUp?: (contender: Contender) => Promise<LoadReport>;
  readonly lap: (contender: Contender) => Promise<LoadReport>;
  /** Units of work in one request: its bytes, or 1 (the default). */
  readonly unitsPerRequest?: number;
  /** At a fixed rate: a contender that loses more than a hundredth could not keep it, which is a finding and no mistake. */
  readonly isFixedRate?: boolean;
  readonly progress: BenchOptions["progress"];
}

/** Runs all rounds. Throws where a request fails under closed-loop load: a cost of failures says nothing. */
export async function runContest(contest: Contest): Promise<Standings> {
  const { contenders, label, progress } = contest;
  const standings = new Map<string, Laps>(
    contenders.map(({ name }) => [name, { cpuUs: [], perSecond: [], p50Ms: [], p99Ms: [] }]),
  );
  for (const contender of contenders) {
    if (contest.warmUp === undefined) break;
    progress(`${label}: warming up ${contender.name}`);
    // A JIT compiles well into the first of them.
    for (let lap = 0; lap < WARM_UP_LAPS; lap++) await contest.warmUp(contender);
  }
  for (let round = 1; round <= contest.rounds; round++) {
    for (const contender of contenders) {
      const laps = standings.get(contender.name);
      const { cpuUs, report } = await runLap(contest, contender);
      laps?.cpuUs.push(cpuUs);
      laps?.perSecond.push(report.perSecond);
      laps?.p50Ms.push(report.p50Ms);
      laps?.p99Ms.push(report.p99Ms);
      const figures = `${cpuUs.toPrecision(3)} µs, ${report.perSecond.toFixed(0)}/s`;
      progress(`${label}, round ${round}/${contest.rounds}: ${contender.name} ${figures}`);
    }
  }
  return standings;
}

const LOST_SHARE_MAX = 0.01;
const WARM_UP_LAPS = 2;

async function runLap(contest: Contest, contender: Contender): Promise<{ cpuUs: number; report: LoadReport }> {
  const spent = () => contender.pids.reduce((sum, pid) => sum + cpuTimeUs(pid), 0);
  const before = spent();
  const report = await contest.lap(contender);
  // The generator's own count leaves out its warm-up, during which the proxy worked too.
  const cpuUs = (spent() - before) / ((report.served ?? report.requests) * (contest.unitsPerRequest ?? 1));
  if (contest.isFixedRate === true) {
    const isKept = report.failed <= LOST_SHARE_MAX * report.requests;
    return { cpuUs: isKept ? cpuUs : Number.NaN, report: isKept ? report : { ...report, p99Ms: Number.NaN } };
  }
  if (report.failed > 0 || report.requests === 0) {
    throw new Error(`${contest.label}: ${report.failed} of ${report.requests} requests to ${contender.name} failed`);
  }
  return { cpuUs, report };
}

/** A row for each contender's cost. */
export function renderCosts(label: string, standings: Standings, unit: string = "µs/request"): readonly BenchRow[] {
  return [...standings].map(([name, { cpuUs, perSecond }]) => ({
    figure: `${label}: ${name}`,
    value: median(cpuUs),
    unit,
    note: `${Math.round(median(perSecond)).toLocaleString("en-US")}/s; rounds: ${cpuUs.map((value) => value.toPrecision(3)).join(" ")}`,
  }));
}

/** What a ratio may be at most, and what would be better. */
export interface Bounds {
  readonly limit?: number;
  readonly want?: number;
}

/**
 * The first contender's figure ÷ that of the peer named: the median of the rounds' own ratios, so that noise which
 * lasts longer than a round cancels out.
 */
export function renderRatio(
  label: string,
  standings: Standings,
  peer: string,
  bounds: Bounds = {},
  of: (laps: Laps) => readonly number[] = ({ cpuUs }) => cpuUs,
): BenchRow {
  const [[name, own] = ["", undefined]] = standings;
  const other = standings.get(peer);
  const ratios =
    own === undefined || other === undefined ? [] : of(own).map((value, at) => value / (of(other)[at] ?? Number.NaN));
  return { figure: `${label}: ${name} ÷ ${peer}`, value: medianOfKnown(ratios), unit: "×", ...bounds };
}

/** A round without a figure says nothing; where most have none, there is no median. */
function medianOfKnown(values: readonly number[]): number {
  const known = values.filter((value) => Number.isFinite(value));
  return known.length * 2 > values.length ? median(known) : Number.NaN;
}

/** A peer as a contender; several are one chain, entered at the first. */
export function contenderOfPeer(...peers: readonly Peer[]): Contender {
  const [first] = peers;
  return { name: first?.name ?? "", port: first?.port ?? 0, pids: peers.map(({ program }) => program.pid) };
}

/** Where the processes of a contest run. */
export type Placement =
  /** The proxies on a core of their own. */
  | "apart"
  /** Everything on one core: a proxy always finds work that has piled up, as under overload. */
  | "together";

/** Moves proxies and upstream; returns the core on which the load belongs. */
export async function place(
  placement: Placement,
  contenders: readonly Contender[],
  upstreamPid: number,
): Promise<number> {
  for (const { pids } of contenders) for (const pid of pids) await moveToCore(pid, PROXY_CORE);
  const core = placement === "apart" ? LOAD_CORE : PROXY_CORE;
  await moveToCore(upstreamPid, core);
  return core;
}
