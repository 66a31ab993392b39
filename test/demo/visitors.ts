// The visitors of the bookshop: requests at a steady rate, whatever the answers, and what they saw.
import { percentile } from "../bench/result.ts";

/** Requests that a report looks back on. */
const WINDOW_MS = 5000;
const REQUEST_TIMEOUT_MS = 10_000;
const TICK_MS = 10;
/** Every fifth visitor is signed in. */
const JASON_EVERY = 5;

/** One request and what came of it. */
export interface Visit {
  readonly endedAtMs: number;
  readonly tookMs: number;
  readonly user: string | undefined;
  /** The version of reviews on the page; `undefined` for a failure. */
  readonly version: string | undefined;
  /** What a filter that the demo pushes adds to the reply. */
  readonly mark: string | undefined;
  /** Why it failed. */
  readonly failure: string | undefined;
}

export interface VisitReport {
  readonly requests: number;
  readonly failed: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of each version in the window, `0`–`1`. */
  readonly shares: Readonly<Record<string, number>>;
}

/** Starts visits to `url` at `perSecond`; `onVisit` is told of each as it ends. */
export class Visitors {
  readonly #url: string;
  readonly #onVisit: (visit: Visit) => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #started = 0;
  #recent: Visit[] = [];
  #requests = 0;
  #failed = 0;
  readonly #inFlight = new Set<Promise<void>>();

  constructor(url: string, onVisit: (visit: Visit) => void) {
    this.#url = url;
    this.#onVisit = onVisit;
  }

  start(perSecond: number): void {
    const startedAtMs = performance.now();
    this.#timer = setInterval(() => {
      const due = ((performance.now() - startedAtMs) * perSecond) / 1000;
      while (this.#started < due) {
        const user = this.#started++ % JASON_EVERY === 0 ? "jason" : undefined;
        const visit = this.#visit(user).finally(() => this.#inFlight.delete(visit));
        this.#inFlight.add(visit);
      }
    }, TICK_MS);
  }

  /** Sends no more, and waits for what is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#inFlight);
  }

  /** Asks for the shop's door `count` times, as fast as `connections` of them get it: work for the page's sidecar alone. */
  async rush(door: string, count: number, connections: number): Promise<void> {
    let left = count;
    const visitor = async (): Promise<void> => {
      while (left-- > 0) {
        const reply = await fetch(door, { redirect: "manual" }).catch(() => undefined);
        await reply?.arrayBuffer();
        this.#requests++;
        if (reply?.status !== 302) this.#failed++;
      }
    };
    await Promise.all(Array.from({ length: connections }, visitor));
  }

  /** Of the last seconds; `requests` and `failed` of the whole run. */
  report(): VisitReport {
    const nowMs = performance.now();
    this.#recent = this.#recent.filter(({ endedAtMs }) => endedAtMs >= nowMs - WINDOW_MS);
    const took = this.#recent.map(({ tookMs }) => tookMs);
    const oldestMs = this.#recent[0]?.endedAtMs ?? nowMs;
    return {
      requests: this.#requests,
      failed: this.#failed,
      perSecond: (this.#recent.length / Math.max(500, nowMs - oldestMs)) * 1000,
      p50Ms: percentile(took, 0.5),
      p99Ms: percentile(took, 0.99),
      shares: sharesOf(this.#recent),
    };
  }

  async #visit(user: string | undefined): Promise<void> {
    const startedAtMs = performance.now();
    let seen: Pick<Visit, "version" | "mark" | "failure">;
    try {
      const reply = await fetch(this.#url, {
        headers: user === undefined ? {} : { "end-user": user },
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      const text = await reply.text();
      const isWhole = reply.status === 200 && text.trimEnd().endsWith("</html>");
      seen = {
        version: reply.headers.get("x-reviews-version") ?? undefined,
        mark: reply.headers.get("x-book-club") ?? undefined,
        failure: isWhole ? undefined : `${reply.status}: ${text.slice(0, 200)}`,
      };
    } catch (error) {
      // A refused or broken connection, or no answer in time.
      seen = { version: undefined, mark: undefined, failure: String(error) };
    }
    const endedAtMs = performance.now();
    const visit = { endedAtMs, tookMs: endedAtMs - startedAtMs, user, ...seen };
    this.#requests++;
    if (visit.failure !== undefined) this.#failed++;
    this.#recent.push(visit);
    this.#onVisit(visit);
  }
}

/** Share of each version among visits that show one. */
export function sharesOf(visits: readonly Visit[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = { v1: 0, v2: 0, v3: 0 };
  let total = 0;
  for (const { version } of visits) {
    if (version === undefined) continue;
    counts[version] = (counts[version] ?? 0) + 1;
    total++;
  }
  return Object.fromEntries(
    Object.entries(counts).map(([version, count]) => [version, total === 0 ? 0 : count / total]),
  );
}
