// What the rules' side knows of an adapter: who may be asked, who may be told. Each file beside this one is a kind of backend.
import type { AdapterCalls } from "../chain/adapter-calls.ts";
import type { Callout } from "../chain/callout.ts";
import type { AdapterBackend, BackendOf } from "../contract/adapter.ts";
import type { FilterUse } from "../contract/filter.ts";
import type { Parsed } from "../contract/problem.ts";
import type { AdapterObserver } from "../exchange/adapter-observer.ts";
import type { Clock, Exchange, Schedule } from "../exchange/exchange.ts";
import type { OwnWorkload } from "../expression/attributes.ts";
import type { Reply } from "../exchange/reply.ts";

/** Values as backends send them: a map is an object, an instant RFC 3339 text, a span a number of milliseconds. */
export type Plain = string | number | boolean | Readonly<Record<string, string>>;

/** What a rule's action says of one exchange. */
export interface Instance {
  readonly name: string;
  /** Absent where the action has none, or the exchange has not what it is made of. */
  readonly value: string | number | boolean | undefined;
  readonly attributes: Readonly<Record<string, Plain>>;
}

/** One question. */
export interface Question {
  readonly instance: Instance;
  readonly exchange: Exchange;
  /** Of a quota. */
  readonly isBestEffort: boolean;
  /** Aborted when the client left. */
  readonly signal: AbortSignal;
}

/** How long an answer holds for what was asked, and how often; `0` ms is this once. */
export interface Validity {
  readonly validForMs: number;
  readonly validUses: number;
}

export const ONCE: Validity = { validForMs: 0, validUses: 1 };

export type AdapterAnswer = (
  | ({ readonly kind: "allowed" } & Validity)
  | ({ readonly kind: "refused"; readonly refusal: Refusal } & Validity)
  /** It could not tell; the message is for logs. */
  | { readonly kind: "failed"; readonly message: string }
) & {
  /** What asking took in the sandbox. */
  readonly fuel?: number;
};

/** What the client is told instead. */
export interface Refusal {
  /** gRPC's number for the reason, which reports see as `check.error_code`. */
  readonly code: number;
  /** For reports. */
  readonly message: string;
  /** A reply of its own for each exchange. */
  readonly reply: () => Reply;
}

/** Answers at once where it can. */
export type Ask = (question: Question) => AdapterAnswer | Promise<AdapterAnswer>;

/** What a check or quota is made of. */
export interface Asking {
  readonly ask: Ask;
  /** Whether answers may be kept, and by what; `undefined`: by what the instance says. */
  readonly keyOf?: (question: Question) => string;
  readonly keepsAnswers: boolean;
}

/** One adapter at work. It has what its kind is for. */
export interface Backend {
  readonly check?: Asking;
  readonly quota?: Asking;
  readonly report?: Reporting;
  /** Sends what waits, as `flush`, and lets go of connections and timers. */
  stop(): Promise<void>;
}

/** Takes finished exchanges. */
export interface Reporting {
  /** Keeps what an exchange was, and returns at once. */
  add(instance: Instance, exchange: Exchange): void;
  /** Sends what waits, each batch once more at most; what is left then is dropped. */
  flush(): Promise<void>;
}

/** What backends use of the proxy. */
export interface BackendSurroundings {
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly callout: Callout;
  readonly observer: AdapterObserver;
  /** Builds what is behind an adapter of one's own; problems by paths below the use. */
  readonly buildCalls: (use: FilterUse) => Promise<Parsed<AdapterCalls>>;
  /** Whom this proxy stands before. */
  readonly own: OwnWorkload;
}

/** A backend's configuration, and what it is called. */
export interface BackendParts<Kind extends AdapterBackend["kind"]> {
  readonly name: string;
  readonly config: BackendOf<Kind>;
  readonly surroundings: BackendSurroundings;
}

/** When an exchange ended, milliseconds since the epoch. */
export function endedAtMs({ startedAtMs, startedMonoMs, endedMonoMs }: Exchange): number {
  return startedAtMs + Math.max(0, endedMonoMs - startedMonoMs);
}
