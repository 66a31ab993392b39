// What a filter did to one exchange, found by looking at the exchange before and after: the same for native and sandboxed
// filters. Only who develops or tests a filter looks that closely; a proxy that serves has no witness, and pays nothing.
import type { Phase } from "../contract/bundle.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import type { Reply } from "../exchange/reply.ts";
import { fuelOf, type Filter, type Verdict } from "./filter.ts";
import { TransformedBody } from "./transformed-body.ts";

/** One change that a filter made to a head. */
export interface WitnessedEdit {
  /** `set` replaced whatever fields of that name there were; `remove` has no value. */
  readonly kind: "set" | "add" | "remove";
  /** In lower case; `:status`, or `metadata.NAME` for a value for later filters. */
  readonly name: string;
  readonly value: string;
}

/** One call of a filter's handler, as it ended. */
export interface Witnessed {
  readonly filter: string;
  readonly phase: Extract<Phase, "request" | "response" | "log">;
  readonly exchange: Exchange;
  /** Before the failure policy. */
  readonly verdict: Verdict;
  readonly edits: readonly WitnessedEdit[];
  /** `touched`: read whole, or replaced, which an edit of `content-length` tells. `transformed`: its pieces go through the filter. */
  readonly body: "kept" | "touched" | "transformed";
  /** `0` for native filters. */
  readonly fuel: number;
  /** Wall-clock milliseconds, fractions included. */
  readonly tookMs: number;
}

/** Told of each call before its verdict is acted on. */
export type Witness = (seen: Witnessed) => void;

/** The filter itself, with `tell` told of each of its calls. `nowMs` is monotonic. */
export function witnessFilter(filter: Filter, tell: Witness, nowMs: () => number): Filter {
  const { request, response, log, connection } = filter;
  function watch(
    phase: Witnessed["phase"],
    exchange: Exchange,
    reply: Reply | undefined,
    run: () => Verdict | Promise<Verdict>,
  ): Verdict | Promise<Verdict> {
    const message = reply ?? exchange;
    const before = pictureOf(exchange, reply);
    const bodyBefore = message.body;
    const startedMs = nowMs();
    const told = (verdict: Verdict): Verdict => {
      const tookMs = nowMs() - startedMs;
      const edits = compare(before, pictureOf(exchange, reply));
      let body: Witnessed["body"] = message.body === bodyBefore ? "kept" : "touched";
      if (body !== "kept" && message.body instanceof TransformedBody) body = "transformed";
      tell({ filter: filter.name, phase, exchange, verdict, edits, body, fuel: fuelOf(filter, verdict), tookMs });
      return verdict;
    };
    const verdict = run();
    return verdict instanceof Promise ? verdict.then(told) : told(verdict);
  }
  return {
    name: filter.name,
    stage: filter.stage,
    priority: filter.priority,
    failurePolicy: filter.failurePolicy,
    ...(request && { request: (exchange) => watch("request", exchange, undefined, () => request(exchange)) }),
    ...(response && {
      response: (exchange, reply) => watch("response", exchange, reply, () => response(exchange, reply)),
    }),
    // Connections have no heads to compare.
    ...(connection && { connection }),
    ...(log && { log: (exchange) => watch("log", exchange, undefined, () => log(exchange)) }),
    get fuelUsed() {
      return filter.fuelUsed;
    },
    get wasKept() {
      return filter.wasKept;
    },
    stop: () => filter.stop(),
  };
}

/** What edits can change, by name. */
export type Picture = ReadonlyMap<string, readonly string[]>;

/** An exchange as it is now. */
export function pictureOf(exchange: Exchange, reply: Reply | undefined): Picture {
  const picture = new Map<string, readonly string[]>();
  if (reply !== undefined) picture.set(":status", [String(reply.status)]);
  const headers: HeaderMap = reply === undefined ? exchange.headers : reply.headers;
  for (const [field, value] of headers) {
    const name = field.toLowerCase();
    picture.set(name, [...(picture.get(name) ?? []), value]);
  }
  for (const [name, value] of exchange.metadata ?? []) picture.set(`metadata.${name}`, [value]);
  return picture;
}

/** What was done in between. */
export function compare(before: Picture, after: Picture): readonly WitnessedEdit[] {
  const edits: WitnessedEdit[] = [];
  for (const name of before.keys()) if (!after.has(name)) edits.push({ kind: "remove", name, value: "" });
  for (const [name, values] of after) {
    const had = before.get(name) ?? [];
    if (values.length === had.length && values.every((value, index) => value === had[index])) continue;
    const isLonger = had.length > 0 && had.every((value, index) => value === values[index]);
    if (isLonger) edits.push(...values.slice(had.length).map((value) => ({ kind: "add" as const, name, value })));
    else edits.push({ kind: "set", name, value: values.join(", ") });
  }
  return edits;
}
