// What adapters tell of their work; only `data-path.ts` knows who listens.

/** One question to an adapter before a request goes on. */
export interface AdapterAsked {
  readonly adapter: string;
  readonly phase: "check" | "quota";
  /** `cancelled`: the client left before there was an answer. */
  readonly outcome: "allowed" | "refused" | "failed" | "cancelled";
  readonly isCached: boolean;
  /** Why it failed; empty where it has not. */
  readonly reason: string;
  /** Milliseconds, fractions included. */
  readonly tookMs: number;
}

/** Takes what adapters tell. Never throws, never waits. */
export interface AdapterObserver {
  asked(asked: AdapterAsked): void;
  /** A call of a sandboxed adapter is over. */
  fuelUsed(adapter: string, phase: "check" | "quota" | "report", fuel: number): void;
  /** Finished exchanges that wait to be sent now. */
  queueChanged(adapter: string, length: number): void;
  sent(adapter: string, count: number): void;
  /** `full`: the queue was. `refused`: the receiver wants none of these. `stopped`: the proxy ended, or dropped the adapter. */
  dropped(adapter: string, count: number, why: "full" | "refused" | "stopped"): void;
  /** A batch was not taken this time. */
  sendFailed(adapter: string, reason: string): void;
}
