// A sandboxed filter in the chain: heads go in, answers come out, and whatever the guest does ends in a verdict.
import type { Phase } from "../../sdk/wit/world.ts";
import { compileHead } from "../chain/attributes.ts";
import { buildReply, editReply, editRequest, findBadEdit, type Edits, type Writes } from "../chain/edits.ts";
import { PROCEED, type Filter, type Verdict } from "../chain/filter.ts";
import { failedVerdict } from "../chain/on-failure.ts";
import type { Manifest } from "../contract/bundle.ts";
import type { FilterUse } from "../contract/filter.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Reply } from "../exchange/reply.ts";
import { parseAnswer } from "./answer.ts";
import type { InstanceSlot } from "./instance.ts";

/** What a guest filter is made of, checked by `buildFilter`. */
export interface GuestParts {
  readonly use: FilterUse;
  readonly manifest: Manifest;
  readonly writes: Writes;
  readonly slot: InstanceSlot;
}

const CALL_MAX = 2 ** 32;

/** A filter that runs in a sandbox. */
export class GuestFilter implements Filter {
  readonly name: string;
  readonly stage: FilterUse["stage"];
  readonly priority: number;
  readonly failurePolicy: "closed" | "open";
  readonly request?: (exchange: Exchange) => Verdict;
  readonly response?: (exchange: Exchange, reply: Reply) => Verdict;
  fuelUsed = 0;
  readonly #writes: Writes;
  readonly #slot: InstanceSlot;
  #call = 0;

  constructor({ use, manifest, writes, slot }: GuestParts) {
    this.name = use.name;
    this.stage = use.stage;
    this.priority = use.priority;
    this.failurePolicy = use.failurePolicy;
    this.#writes = writes;
    this.#slot = slot;
    const head = compileHead(manifest.reads);
    if (manifest.phases.includes("request")) {
      this.request = (exchange) =>
        this.#run("request", head.request(exchange), (edits) => editRequest(edits, exchange));
    }
    if (manifest.phases.includes("response")) {
      this.response = (exchange, reply) =>
        this.#run("response", head.response(exchange, reply), (edits) => editReply(edits, reply));
    }
  }

  stop(): void {
    this.#slot.stop();
  }

  #run(phase: Phase, head: string, edit: (edits: Edits) => void): Verdict {
    this.fuelUsed = 0;
    const acquired = this.#slot.acquire();
    if (!acquired.ok) return failedVerdict(this.name, acquired.error);
    const instance = acquired.value;
    this.#call = (this.#call + 1) % CALL_MAX;
    const answered = instance.begin(this.#call, phase, head);
    this.fuelUsed = instance.fuelUsed;
    if (!answered.ok) {
      this.#slot.drop();
      return failedVerdict(this.name, answered.error.message);
    }
    const answer = parseAnswer(answered.value);
    switch (answer.kind) {
      case "proceed": {
        this.#slot.succeeded();
        const reason = findBadEdit(answer.edits, this.#writes, phase);
        if (reason !== undefined) return failedVerdict(this.name, reason);
        edit(answer.edits);
        return PROCEED;
      }
      case "reply": {
        this.#slot.succeeded();
        const reply = buildReply(this.name, answer.reply);
        return typeof reply === "string" ? failedVerdict(this.name, reply) : { kind: "reply", reply };
      }
      case "pending":
        // Nothing will resume the call, and what it holds would stay: the instance goes with it.
        this.#slot.drop();
        return failedVerdict(this.name, "waits for an operation, and this proxy offers none");
      case "failed":
        // The guest caught its own error, so its instance is whole; but one without memory left would fail from now on.
        if (instance.isMemoryFull) this.#slot.drop();
        return failedVerdict(this.name, answer.message);
    }
  }
}
