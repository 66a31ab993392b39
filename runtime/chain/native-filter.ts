// A filter of the proxy's own: the object that `defineFilter` returned, run without a sandbox and without strings
// crossing. What it sees and may change is bounded as in the sandbox, so that both answer alike.
import type { AnyFilter, AnyHandler } from "../../sdk/define-filter.ts";
import type { Lookup } from "../../sdk/headers.ts";
import { RequestMessage, ResponseMessage } from "../../sdk/message.ts";
import type { Verdict as Answer } from "../../sdk/verdict.ts";
import type { LogLevel, Phase } from "../../sdk/wit/world.ts";
import type { FilterUse } from "../contract/filter.ts";
import { parseWith, type Parsed } from "../contract/problem.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import type { Reply } from "../exchange/reply.ts";
import { replyReader, requestReader, type Reader } from "./attributes.ts";
import { buildReply, compileWrites, editReply, editRequest, findBadEdit, type Edits, type Writes } from "./edits.ts";
import { PROCEED, type Filter, type Verdict } from "./filter.ts";
import { failedVerdict } from "./on-failure.ts";

/** Writes one line to the proxy's log. */
export type Log = (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>) => void;

const NO_CONFIG = { ok: true, value: {} } as const;

/** A native filter, or every problem of its configuration, by paths below the use (`config.realm`). */
export function buildNativeFilter(filter: AnyFilter, use: FilterUse, log: Log): Parsed<Filter> {
  const config = filter.config === undefined ? NO_CONFIG : parseWith(filter.config, use.config, "config");
  if (!config.ok) return config;
  const writes = compileWrites(filter.writes);
  if (typeof writes === "string") return { ok: false, problems: [{ path: "source", message: writes }] };
  return {
    ok: true,
    value: new NativeFilter(filter, use, { config: config.value, log: logOf(use.name, log) }, writes),
  };
}

class NativeFilter implements Filter {
  readonly name: string;
  readonly stage: FilterUse["stage"];
  readonly priority: number;
  readonly failurePolicy: "closed" | "open";
  readonly fuelUsed = 0;
  readonly request?: (exchange: Exchange) => Verdict | Promise<Verdict>;
  readonly response?: (exchange: Exchange, reply: Reply) => Verdict | Promise<Verdict>;
  readonly #writes: Writes;

  constructor(filter: AnyFilter, use: FilterUse, context: unknown, writes: Writes) {
    this.name = use.name;
    this.stage = use.stage;
    this.priority = use.priority;
    this.failurePolicy = use.failurePolicy;
    this.#writes = writes;
    const requestFields = lookupOf(filter.reads, (name) => (name === ":status" ? undefined : requestReader(name)));
    const replyFields = lookupOf(filter.reads, replyReader);
    const { request, response } = filter;
    if (request !== undefined) {
      this.request = (exchange) => {
        const message = new RequestMessage(requestFields, exchange);
        return this.#run(request, message, context, "request", () => editRequest(message.headers.edits, exchange));
      };
    }
    if (response !== undefined) {
      this.response = (exchange, reply) => {
        const message = new ResponseMessage(replyFields, reply, new RequestMessage(requestFields, exchange));
        return this.#run(response, message, context, "response", () => editReply(message.headers.edits, reply));
      };
    }
  }

  stop(): void {}

  #run(
    handle: AnyHandler,
    message: { readonly headers: { readonly edits: Edits } },
    context: unknown,
    phase: Phase,
    edit: () => void,
  ): Verdict | Promise<Verdict> {
    const settle = (answer: Answer | undefined | void): Verdict => {
      if (answer === undefined || answer.kind === "proceed") {
        const reason = findBadEdit(message.headers.edits, this.#writes, phase);
        if (reason !== undefined) return failedVerdict(this.name, reason);
        edit();
        return PROCEED;
      }
      const parts = { status: answer.status, headers: Object.entries(answer.headers ?? {}), body: answer.body ?? "" };
      const reply = buildReply(this.name, parts);
      return typeof reply === "string" ? failedVerdict(this.name, reply) : { kind: "reply", reply };
    };
    try {
      const answer = handle(message, context);
      if (!(answer instanceof Promise)) return settle(answer);
      return answer.then(settle).catch((error: unknown) => failedVerdict(this.name, String(error)));
    } catch (error) {
      // A handler that throws fails its call, here as in the sandbox.
      return failedVerdict(this.name, String(error));
    }
  }
}

/** The fields of a message as far as they were declared. */
function lookupOf<Of extends { readonly headers: HeaderMap }>(
  reads: readonly string[],
  readerOf: (name: string) => Reader<Of> | undefined,
): Lookup<Of> {
  const readers = new Map<string, Reader<Of>>();
  for (const name of reads) {
    const reader = readerOf(name);
    if (reader !== undefined) readers.set(name, reader);
  }
  return {
    get: (of, name) => readers.get(name)?.(of),
    getAll: (of, name) => (readers.has(name) ? of.headers.getAll(name) : []),
  };
}

function logOf(filter: string, log: Log): Readonly<Record<LogLevel, (message: string) => void>> {
  const at = (level: LogLevel) => (message: string) => log(level, message.slice(0, 4096), { filter });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
