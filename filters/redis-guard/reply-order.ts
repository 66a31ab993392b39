// Which reply answers which command: answers of our own go to their place among Redis', however much is pipelined. Pure.
import type { RespCommand, RespReply } from "../../sdk/index.ts";

/** What the client waits for, in order. */
type Due =
  /** Replies of Redis. */
  | { readonly kind: "replies"; left: number }
  /** Confirmations of a subscription, one for each channel; an error stands for all of them. */
  | { readonly kind: "confirmations"; left: number }
  /** A reply of Redis that is not the client's, and what is said instead. */
  | { readonly kind: "swapped"; readonly text: string }
  /** An answer of our own. */
  | { readonly kind: "own"; readonly text: string };

/** Answers of our own that may wait; a client that sends more before it reads is given up. */
const DUE_MAX = 65_536;
const SUBSCRIPTIONS: ReadonlySet<string> = new Set([
  "subscribe",
  "psubscribe",
  "ssubscribe",
  "unsubscribe",
  "punsubscribe",
  "sunsubscribe",
]);
const MESSAGES: ReadonlySet<string> = new Set(["message", "pmessage", "smessage"]);

export class ReplyOrder {
  readonly #due: Due[] = [];
  #isTransaction = false;
  /** What `CLIENT REPLY` said. */
  #replies: "on" | "skip" | "off" = "on";
  /** In RESP2 messages look like replies, as long as there are subscriptions. */
  #isSubscribed = false;

  get isTransaction(): boolean {
    return this.#isTransaction;
  }

  /** A command goes on to Redis. */
  passed({ name, args: [first = "", second = ""], count }: RespCommand): void {
    const isSubscription = !this.#isTransaction && SUBSCRIPTIONS.has(name.toLowerCase());
    if (name === "MULTI") this.#isTransaction = true;
    else if (name === "EXEC" || name === "DISCARD" || name === "RESET") this.#isTransaction = false;
    if (name === "RESET") this.#replies = "on";
    if (isSubscription) {
      this.#isSubscribed = true;
      this.#push({ kind: "confirmations", left: Math.max(1, count) });
    } else if (this.#isAnswered(name, first, second)) this.#expect();
  }

  /** A command does not go on, and `text` answers it; what may be said now is returned. */
  denied(text: string): string {
    if (!this.#takeReply()) return "";
    if (this.#due.length === 0) return text;
    this.#push({ kind: "own", text });
    return "";
  }

  /** A command of a transaction does not go on, but one that fails does in its place; `text` answers it. */
  swapped(text: string): void {
    if (this.#takeReply()) this.#push({ kind: "swapped", text });
  }

  /** Whether a reply that begins so is one that the client must not see. */
  isSwapped(type: string): boolean {
    return type !== ">" && this.#due[0]?.kind === "swapped";
  }

  /** Redis' reply has ended; what follows it is returned. */
  replied({ type, texts: [kind = "", , left = ""] }: RespReply): string {
    const isPush = type === ">" || (type === "*" && this.#isSubscribed);
    let text = "";
    if (isPush && SUBSCRIPTIONS.has(kind)) {
      if (left === "0") this.#isSubscribed = false;
      this.#confirm();
    } else if (type !== ">" && !(isPush && MESSAGES.has(kind))) text = this.#take();
    return text + this.#ownText();
  }

  /** Sets what `CLIENT REPLY` asks for, which is answered where it turns replies on. */
  #isAnswered(name: string, first: string, second: string): boolean {
    const mode = name === "CLIENT" && first.toUpperCase() === "REPLY" ? second.toUpperCase() : "";
    switch (mode) {
      case "ON":
        this.#replies = "on";
        return true;
      case "OFF":
        this.#replies = "off";
        return false;
      case "SKIP":
        if (this.#replies === "on") this.#replies = "skip";
        return false;
      default:
        return this.#takeReply();
    }
  }

  /** Whether the command at hand is answered at all. */
  #takeReply(): boolean {
    const isAnswered = this.#replies === "on";
    if (this.#replies === "skip") this.#replies = "on";
    return isAnswered;
  }

  #expect(): void {
    const last = this.#due.at(-1);
    if (last?.kind === "replies") last.left++;
    else this.#push({ kind: "replies", left: 1 });
  }

  #confirm(): void {
    const [first] = this.#due;
    if (first?.kind === "confirmations" && --first.left === 0) this.#due.shift();
  }

  #take(): string {
    const [first] = this.#due;
    // Nobody asked: what Redis says on its own goes by.
    if (first === undefined) return "";
    if (first.kind === "replies" && --first.left > 0) return "";
    this.#due.shift();
    return first.kind === "swapped" ? first.text : "";
  }

  #ownText(): string {
    let text = "";
    for (let first = this.#due[0]; first?.kind === "own"; first = this.#due[0]) {
      text += first.text;
      this.#due.shift();
    }
    return text;
  }

  #push(due: Due): void {
    if (this.#due.length >= DUE_MAX) throw new RangeError(`more than ${DUE_MAX} answers wait for replies of Redis`);
    this.#due.push(due);
  }
}
