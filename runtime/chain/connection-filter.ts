// A filter at one connection, over whatever runs its handlers: what they decide is checked against what the filter declared.
import type { Side } from "../../sdk/wit/world.ts";
import type { Watched } from "../../sdk/handled-connection.ts";
import { METADATA_PREFIX } from "../../sdk/wit/world.ts";
import type { FilterUse } from "../contract/filter.ts";
import { failure } from "../exchange/failure.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";
import {
  NOTHING_WRITTEN,
  type ConnectionCalls,
  type ConnectionDecided,
  type ConnectionRun,
  type ConnectionVerdict,
} from "./connection.ts";
import { findBadEdit, type Edits, type Writes } from "./edits.ts";

/** What all connections of one use of a filter have in common. */
export interface ConnectionRules {
  readonly use: FilterUse;
  readonly writes: Writes;
  readonly head: (session: TcpSession) => string;
  readonly connect: () => ConnectionCalls;
}

const PROCEED: ConnectionVerdict = {
  kind: "proceed",
  bytes: "pass",
  written: NOTHING_WRITTEN,
  cluster: undefined,
  watched: [],
};

export class FilterConnectionRun implements ConnectionRun {
  readonly #rules: ConnectionRules;
  readonly #session: TcpSession;
  readonly #calls: ConnectionCalls;
  #watched: readonly Watched[] = [];

  constructor(rules: ConnectionRules, session: TcpSession) {
    this.#rules = rules;
    this.#session = session;
    this.#calls = rules.connect();
  }

  get deadlineMs(): number {
    return this.#rules.use.limits.deadlineMs;
  }

  get fuelUsed(): number {
    return this.#calls.fuelUsed;
  }

  begin(): ConnectionVerdict | Promise<ConnectionVerdict> {
    return this.#verdict(this.#calls.open(this.#rules.head(this.#session)), (decided) => {
      if (decided.kind === "decided") this.#watched = decided.watched;
    });
  }

  chunk(source: Side, bytes: Uint8Array, isEnd: boolean): ConnectionVerdict | Promise<ConnectionVerdict> {
    return this.#verdict(this.#calls.chunk(source, bytes, isEnd));
  }

  end(): ConnectionVerdict | Promise<ConnectionVerdict> | undefined {
    const ended = this.#calls.end(this.#watched.includes("end") ? this.#rules.head(this.#session) : undefined);
    return ended === undefined ? undefined : this.#verdict(ended);
  }

  #verdict(
    decided: ConnectionDecided | Promise<ConnectionDecided>,
    see: (decided: ConnectionDecided) => void = () => undefined,
  ): ConnectionVerdict | Promise<ConnectionVerdict> {
    if (decided instanceof Promise) return decided.then((late) => this.#verdict(late, see));
    see(decided);
    if (decided.kind === "failed") return this.#failed(decided.message);
    const { bytes, written, edits, route, ending, watched } = decided;
    const isNothing = bytes === "pass" && edits.length === 0 && route === undefined && ending === undefined;
    if (isNothing && watched.length === 0 && written === NOTHING_WRITTEN) return PROCEED;
    const { use, writes } = this.#rules;
    const reason = findBadEdit(edits, writes, "connection") ?? findField(edits);
    if (reason !== undefined) return this.#failed(reason);
    const cluster = route === undefined ? undefined : clusterOf(use, route);
    if (route !== undefined && cluster === undefined)
      return this.#failed(`routes to ${JSON.stringify(route.slice(0, 64))}, which is not one of its upstreams`);
    this.#edit(edits);
    if (ending === undefined) return { kind: "proceed", bytes, written, cluster, watched };
    return { kind: "close", isReset: ending.kind === "reset", reason: ending.reason, written };
  }

  #failed(message: string): ConnectionVerdict {
    return { kind: "failed", failure: failure("filter_failed", `filter ${this.#rules.use.name}: ${message}`) };
  }

  #edit(edits: Edits): void {
    for (let index = 0; index < edits.length; index += 3) {
      const name = (edits[index + 1] ?? "").slice(METADATA_PREFIX.length);
      if (edits[index] === "remove") this.#session.metadata?.delete(name);
      else (this.#session.metadata ??= new Map()).set(name, edits[index + 2] ?? "");
    }
  }
}

function clusterOf({ upstreams }: FilterUse, name: string): string | undefined {
  return Object.hasOwn(upstreams, name) ? upstreams[name]?.cluster : undefined;
}

/** A connection has no fields. */
function findField(edits: Edits): string | undefined {
  for (let index = 0; index < edits.length; index += 3) {
    const name = edits[index + 1] ?? "";
    if (!name.startsWith(METADATA_PREFIX)) return `${edits[index]} ${JSON.stringify(name)} is no edit of a connection`;
  }
  return undefined;
}
