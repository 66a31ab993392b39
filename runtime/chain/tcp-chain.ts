// The chain of connections that are not HTTP: the filters that look at them, ordered once for each generation.
import type { Clock } from "../exchange/exchange.ts";
import type { RunObserver } from "./chain.ts";
import type { Filter } from "./filter.ts";
import { FilteredTcp, type FilteredTcpParts } from "./filtered-tcp.ts";
import { orderFilters } from "./stage.ts";
import { linkOf } from "./tcp-stage.ts";

/** Puts filters between a connection's sides; what is returned has to be started. */
export type StartFiltered = (
  parts: Omit<FilteredTcpParts, "links" | "runs" | "clock" | "planFor" | "over">,
) => FilteredTcp;

/** The same, as a generation gives its own parts. */
export type TcpChain = (parts: Omit<FilteredTcpParts, "links" | "runs" | "clock">) => FilteredTcp;

/** `undefined` where none of the filters looks at connections: then nothing stands between their sides. */
export function compileTcpChain(filters: readonly Filter[], runs: RunObserver, clock: Clock): TcpChain | undefined {
  const links = orderFilters(filters).flatMap((filter) => linkOf(filter) ?? []);
  if (links.length === 0) return undefined;
  return (parts) => new FilteredTcp({ ...parts, links, runs, clock });
}
