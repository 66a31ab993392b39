// What filters may wait for, by the WIT's grammar of `start`: native and sandboxed filters alike hand in these strings.
import { TIMER_MAX_MS } from "../contract/duration.ts";
import type { FilterUse } from "../contract/filter.ts";
import type { Schedule } from "../exchange/exchange.ts";
import type { Failure, Result } from "../exchange/failure.ts";
import { isFieldName, isFieldValue } from "../exchange/headers.ts";
import type { Callout, CalloutReply, CalloutRequest, CalloutSignal } from "./callout.ts";
import { readWhole, type Message } from "./whole-body.ts";

/** An operation under way. */
export interface Operation {
  /** Nobody waits for it any more. */
  stop(): void;
}

/** Who starts an operation. One call's operations are about its message, where it has one. */
export interface OperationOwner {
  readonly message: Message | undefined;
  /** The message's body could not be read: the message cannot go on, whatever the filter says. */
  bodyFailed(cause: Failure): void;
  /** What it brought: a text by the WIT's grammar, and bytes. Told once, from the microtask queue; of one that was stopped it means nothing. */
  ended(outcome: string, payload: Uint8Array): void;
}

const NOTHING = new Uint8Array(0);
const NO_LINES: readonly string[] = [];
/** What is done then is done from the microtask queue. */
const SOON = Promise.resolve();
const FETCH = /^([a-z][a-z0-9-]{0,62}) ([A-Z][A-Z-]{0,31}) (\/[\x21-\x7e]{0,8191})\n(?:timeout: (\d{1,7})\n)?\n/u;
const FIELDS_MAX = 100;
/** A request's first lines and fields. */
const HEAD_MAX_LENGTH = 65_536;
/** Of bodies of all fetches of a use that are under way. */
const SENT_MAX_BYTES = 64 * 1024 * 1024;
/** The connection's own, and what the proxy sets itself. */
const OWN_FIELDS = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The operations of one use of a filter. */
export class Operations {
  readonly #use: FilterUse;
  readonly #callout: Callout;
  readonly #schedule: Schedule;
  #sentBytes = 0;

  constructor(use: FilterUse, callout: Callout, schedule: Schedule) {
    this.#use = use;
    this.#callout = callout;
    this.#schedule = schedule;
  }

  /** Starts one, or says why it is none. */
  start(kind: string, request: string, payload: Uint8Array, owner: OperationOwner): Result<Operation, string> {
    switch (kind) {
      case "fetch":
        return this.#fetch(request, payload, owner);
      case "sleep":
        return this.#sleep(request, owner);
      case "body":
        return this.#readBody(owner);
      default:
        return refused(`operation ${JSON.stringify(kind.slice(0, 64))} is not offered`);
    }
  }

  #fetch(request: string, payload: Uint8Array, owner: OperationOwner): Result<Operation, string> {
    const parsed = this.#parseFetch(request, payload);
    if (!parsed.ok) return parsed;
    const { length } = payload;
    const { bodyMaxBytes } = this.#use.limits;
    if (length > bodyMaxBytes) return failing(`body is ${length} bytes, limit is ${bodyMaxBytes}`, owner);
    if (this.#sentBytes + length > SENT_MAX_BYTES)
      return failing(`${this.#sentBytes} bytes of bodies are on their way already, limit is ${SENT_MAX_BYTES}`, owner);
    this.#sentBytes += length;
    const fetch = new Fetch();
    void this.#callout(parsed.value, fetch).then((answered) => {
      this.#sentBytes -= length;
      if (answered.ok) return owner.ended(renderReply(answered.value), answered.value.body);
      const { kind, message } = answered.error;
      return owner.ended(kind === "failed" ? `failed ${message}` : `failed ${kind} ${message}`, NOTHING);
    });
    return { ok: true, value: fetch };
  }

  #parseFetch(request: string, payload: Uint8Array): Result<CalloutRequest, string> {
    if (request.length > HEAD_MAX_LENGTH)
      return refused(`fetch has a head of ${request.length} characters, limit is ${HEAD_MAX_LENGTH}`);
    const match = FETCH.exec(request);
    const [head = "", name = "", method = "", path = "", timeout] = match ?? [];
    if (match === null) return refused(`fetch of ${JSON.stringify(request.slice(0, 100))} is not by the grammar`);
    const upstream = Object.hasOwn(this.#use.upstreams, name) ? this.#use.upstreams[name] : undefined;
    if (upstream === undefined) return refused(`upstream ${JSON.stringify(name)} is not one of its upstreams`);
    const headers: (readonly [string, string])[] = [];
    for (const line of head.length < request.length ? request.slice(head.length).split("\n") : NO_LINES) {
      if (line === "") continue;
      const colon = line.indexOf(": ");
      const [field, value] = [line.slice(0, colon), line.slice(colon + 2)];
      if (colon < 1 || !isFieldName(field) || !isFieldValue(value) || OWN_FIELDS.has(field.toLowerCase()))
        return refused(`fetch has a field ${JSON.stringify(line.slice(0, 100))}, which cannot be sent`);
      headers.push([field, value]);
    }
    if (headers.length > FIELDS_MAX) return refused(`fetch has ${headers.length} fields, limit is ${FIELDS_MAX}`);
    const { cluster, authority, timeoutMs } = upstream;
    return {
      ok: true,
      value: {
        cluster,
        authority,
        method,
        path,
        headers,
        body: payload,
        timeoutMs: timeout === undefined ? timeoutMs : Math.min(timeoutMs, Math.max(1, Number(timeout))),
        replyMaxBytes: this.#use.limits.bodyMaxBytes,
      },
    };
  }

  #sleep(request: string, owner: OperationOwner): Result<Operation, string> {
    const waitMs = Number(request);
    if (!(waitMs >= 0) || waitMs > TIMER_MAX_MS)
      return refused(`sleep of ${JSON.stringify(request.slice(0, 20))} milliseconds cannot be`);
    const stop = this.#schedule(() => void SOON.then(() => owner.ended("", NOTHING)), waitMs);
    return { ok: true, value: { stop } };
  }

  #readBody(owner: OperationOwner): Result<Operation, string> {
    const { message } = owner;
    if (message === undefined) return refused("there is no body to read here");
    void readWhole(message, this.#use.limits.bodyMaxBytes).then((read) => {
      if (read.ok) return owner.ended("", read.value);
      owner.bodyFailed(read.error);
      return owner.ended(`failed ${read.error.message}`, NOTHING);
    });
    return UNSTOPPABLE;
  }
}

/** A call to an upstream, and the word to it that nobody waits any more: an `AbortController` is most of what starting one costs. */
class Fetch implements Operation, CalloutSignal {
  aborted = false;
  #listener: (() => void) | undefined = undefined;

  addEventListener(_kind: "abort", run: () => void): void {
    this.#listener = run;
  }

  removeEventListener(): void {
    this.#listener = undefined;
  }

  stop(): void {
    const listener = this.#listener;
    this.aborted = true;
    this.#listener = undefined;
    listener?.();
  }
}

const UNSTOPPABLE = { ok: true, value: { stop: () => undefined } } as const;

/** An operation that ends as soon as it began. */
function failing(reason: string, owner: OperationOwner): { readonly ok: true; readonly value: Operation } {
  void SOON.then(() => owner.ended(`failed ${reason}`, NOTHING));
  return UNSTOPPABLE;
}

function renderReply({ status, headers }: CalloutReply): string {
  let lines = `${status}\n`;
  for (const [name, value] of headers) lines += `${name.toLowerCase()}: ${value}\n`;
  return lines;
}

function refused(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error };
}
