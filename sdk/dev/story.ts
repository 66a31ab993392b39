// What became of each request in a local proxy, kept for a while so that somebody may ask.
import type { Witnessed, WitnessedEdit } from "../../runtime/chain/witness.ts";
import type { Exchange } from "../../runtime/exchange/exchange.ts";
import type { LogLevel } from "../wit/world.ts";

/** One line that a filter wrote. */
export interface StoryLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** One call of a filter. */
export interface StoryStep {
  readonly filter: string;
  readonly phase: Witnessed["phase"];
  readonly outcome: "proceed" | "reply" | "failed";
  readonly edits: readonly WitnessedEdit[];
  readonly body: Witnessed["body"];
  /** Why it failed, by the author's line. */
  readonly failure?: string;
  readonly fuel: number;
  readonly tookMs: number;
  /** What it wrote meanwhile. */
  readonly logs: readonly StoryLine[];
}

/** One request, whole. */
export interface Story {
  readonly id: string;
  /** ISO 8601. */
  readonly at: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Envoy's response flags; `-` for none. */
  readonly flags: string;
  readonly tookMs: number;
  readonly steps: readonly StoryStep[];
}

/** Requests that are kept; the oldest goes. */
const STORIES_MAX = 500;
/** Steps and lines that one request may have. */
const STEPS_MAX = 100;
const LINES_MAX = 100;

/** Collects stories. */
export class Stories {
  readonly #told: (story: Story) => void;
  readonly #open = new Map<string, StoryStep[]>();
  readonly #kept = new Map<string, Story>();
  #lines: StoryLine[] = [];

  /** `told` gets each request when it is over. */
  constructor(told: (story: Story) => void) {
    this.#told = told;
  }

  /** A request that was answered, by its `x-request-id`. */
  find(id: string): Story | undefined {
    return this.#kept.get(id);
  }

  /** A filter wrote a line; it belongs to the call that ends next. */
  line(line: StoryLine): void {
    if (this.#lines.length < LINES_MAX) this.#lines.push(line);
  }

  /** Lines that no call has taken: of timers and of set-up. */
  takeLines(): readonly StoryLine[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  /** A call of a filter ended. `explain` puts the author's lines into a failure. */
  step(seen: Witnessed, explain: (message: string) => string): void {
    const { filter, phase, verdict, edits, body, fuel, tookMs, exchange } = seen;
    const { requestId: id } = exchange;
    const failure = verdict.kind === "failed" ? { failure: explain(verdict.failure.message) } : {};
    const outcome = verdict.kind;
    const step: StoryStep = { filter, phase, outcome, edits, body, ...failure, fuel, tookMs, logs: this.takeLines() };
    // A handler that looks at what is over may take its time.
    const kept = this.#kept.get(id);
    if (phase === "log" && kept !== undefined && !this.#open.has(id))
      return void this.#kept.set(id, { ...kept, steps: [...kept.steps, step] });
    const steps = this.#open.get(id) ?? [];
    if (steps.length < STEPS_MAX) this.#open.set(id, [...steps, step]);
  }

  /** The last byte of its reply is out. */
  ended(exchange: Exchange, nowMonoMs: number): void {
    const { requestId: id, method, path, originalPath, status, flags, startedAtMs, startedMonoMs } = exchange;
    const steps = this.#open.get(id) ?? [];
    this.#open.delete(id);
    const story: Story = {
      id,
      at: new Date(startedAtMs).toISOString(),
      method,
      path: originalPath === "" ? path : originalPath,
      status,
      flags,
      tookMs: nowMonoMs - startedMonoMs,
      steps,
    };
    // Handlers that look at what is over are asked after this.
    setImmediate(() => {
      const late = this.#open.get(id) ?? [];
      this.#open.delete(id);
      this.#keep({ ...story, steps: [...steps, ...late] });
    });
  }

  #keep(story: Story): void {
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= STORIES_MAX && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(story.id, story);
    this.#told(story);
  }
}
