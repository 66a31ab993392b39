// One exchange on its way into a recording.
import {
  recordAttributes,
  recordBody,
  recordHeaders,
  recordRequest,
  redactVerdict,
} from "../chain/recorded-exchange.ts";
import { Redactor, type Secrets } from "../chain/secrets.ts";
import { describeVerdict, showAll } from "../chain/seen-verdict.ts";
import type { EndedCall, WatchedCall } from "../chain/tapped-filter.ts";
import { TeedBody } from "../chain/teed-body.ts";
import { pictureOf, type Picture } from "../chain/witness.ts";
import type { Recorded, RecordedBody } from "../contract/recording.ts";
import type { Tap } from "../contract/tap.ts";
import type { Body } from "../exchange/body.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Reply } from "../exchange/reply.ts";

/** One message on its way. */
interface Message {
  readonly before: Picture;
  /** What went on, the keeping of it included. */
  readonly body: Body;
  kept: RecordedBody | undefined;
  decided: Recorded["request"]["decided"];
}

export class ExchangeRecorder {
  readonly #tap: Tap;
  readonly #redactor: Redactor;
  readonly #atMs: number;
  #head: Pick<Recorded, "attributes" | "request"> | undefined = undefined;
  #replyHead: Recorded["response"] | undefined = undefined;
  #request: Message | undefined = undefined;
  #response: Message | undefined = undefined;
  #version: Recorded["version"] = "live";

  constructor(tap: Tap, secrets: Secrets, atMs: number) {
    this.#tap = tap;
    this.#redactor = new Redactor(secrets);
    this.#atMs = atMs;
  }

  /** Before the filter is asked: what it will see. */
  begin({ phase, exchange, reply }: WatchedCall): void {
    if (phase === "log") return;
    // A filter that looks at replies alone sees the request's head with them.
    this.#head ??= {
      request: recordRequest(exchange, this.#redactor),
      attributes: recordAttributes(exchange, this.#redactor),
    };
    if (phase === "request") this.#request = this.#open(exchange, undefined);
    else if (reply !== undefined) {
      this.#replyHead = { status: reply.status, headers: recordHeaders(reply.headers, this.#redactor) };
      this.#response = this.#open(exchange, reply);
    }
  }

  ended({ phase, exchange, reply, verdict, version }: EndedCall): void {
    const message = phase === "request" ? this.#request : this.#response;
    if (phase === "log" || message === undefined) return;
    this.#version = version;
    const after = pictureOf(exchange, reply);
    const bodies = { before: message.body, after: (reply ?? exchange).body };
    const described = describeVerdict(verdict, message.before, after, bodies);
    message.decided = showAll(described);
  }

  /** The exchange is over. */
  finish(): Recorded | undefined {
    if (this.#head === undefined) return undefined;
    const { attributes, request } = this.#head;
    return {
      recording: 1,
      atMs: this.#atMs,
      filter: this.#tap.filter,
      version: this.#version,
      attributes,
      request: { ...request, ...this.#partsOf(this.#request) },
      ...(this.#replyHead === undefined ? {} : { response: { ...this.#replyHead, ...this.#partsOf(this.#response) } }),
    };
  }

  #open(exchange: Exchange, reply: Reply | undefined): Message {
    const { bodies, bodyMaxBytes } = this.#tap;
    const message = reply ?? exchange;
    const before = pictureOf(exchange, reply);
    if (bodies === "none" || message.body.lengthBytes === 0 || exchange.upgrade !== "")
      return { before, body: message.body, kept: undefined, decided: undefined };
    const contentType = message.headers.get("content-type") ?? "";
    const kept: RecordedBody = {
      kind: "left_out",
      reason: `larger than ${bodyMaxBytes} bytes, or did not become whole`,
    };
    const teed = new TeedBody(message.body, bodyMaxBytes, (bytes) => {
      if (bytes !== undefined) opened.kept = recordBody(bytes, contentType, this.#redactor, bodies === "all");
    });
    const opened: Message = { before, body: teed, kept, decided: undefined };
    message.body = teed;
    return opened;
  }

  /** Only now are all secrets of the exchange known, those of its bodies too. */
  #partsOf(message: Message | undefined): Pick<Recorded["request"], "body" | "decided"> {
    const { kept, decided } = message ?? {};
    return {
      ...(kept === undefined ? {} : { body: kept }),
      ...(decided === undefined ? {} : { decided: redactVerdict(decided, this.#redactor) }),
    };
  }
}
