// What the chain runs: native and sandboxed filters look alike from here.
import type { Stage } from "../contract/bundle.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import type { Reply } from "../exchange/reply.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";
import type { ConnectionRun } from "./connection.ts";

/** What a filter decided. Edits, of heads and of bodies, were applied to the exchange already. */
export type Verdict = (
  | { readonly kind: "proceed" }
  | { readonly kind: "reply"; readonly reply: Reply }
  | { readonly kind: "failed"; readonly failure: Failure }
) & {
  /** Of a sandboxed call that waited: the fuel of all of its entries, since others ran meanwhile. Of rules: what adapters took. */
  readonly fuel?: number;
};

export const PROCEED: Verdict = { kind: "proceed" };

/** One filter, configured and ready. Handlers answer at once where they can. */
export interface Filter {
  readonly name: string;
  readonly stage: Stage;
  readonly priority: number;
  readonly failurePolicy: "closed" | "open";
  /** On the way down, headers of the request may be edited, and its body replaced or led through the filter. */
  readonly request?: (exchange: Exchange) => Verdict | Promise<Verdict>;
  /** On the way up, status and headers of the reply may be edited, its body as above, or the reply replaced. */
  readonly response?: (exchange: Exchange, reply: Reply) => Verdict | Promise<Verdict>;
  /** After the last byte; nothing waits for it. */
  readonly log?: (exchange: Exchange) => Verdict | Promise<Verdict>;
  /** A connection whose bytes are not HTTP. */
  readonly connection?: (session: TcpSession) => ConnectionRun;
  /** Fuel that the call which just answered at once used; `0` for native filters. Read it before the next call begins. */
  readonly fuelUsed: number;
  /** Whether the call which just answered had its decision from memory; `undefined` where none is kept. Read as `fuelUsed`. */
  readonly wasKept: boolean | undefined;
  /** Lets go of instances; called when its generation has drained. */
  stop(): void;
}

/** Fuel of the call that answered with this verdict. */
export function fuelOf({ fuelUsed }: Pick<Filter, "fuelUsed">, { fuel }: Verdict): number {
  return fuel ?? fuelUsed;
}
