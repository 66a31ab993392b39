// An adapter of one's own: a component of check, quota or report handlers, asked and told inside all of a filter's bounds.
import type { AdapterCalls, AdapterReply, WaitingReply } from "../chain/adapter-calls.ts";
import { buildReply } from "../chain/apply.ts";
import { phasesOf, type BackendOf } from "../contract/adapter.ts";
import type { FilterUse } from "../contract/filter.ts";
import type { Parsed } from "../contract/problem.ts";
import { failure } from "../exchange/failure.ts";
import {
  ONCE,
  type AdapterAnswer,
  type Asking,
  type Backend,
  type BackendParts,
  type Instance,
  type Question,
  type Reporting,
} from "./adapter.ts";
import { Batcher, SENT, type Sent } from "./batcher.ts";
import { renderInstance } from "./instance-lines.ts";
import { refusal } from "./refusal.ts";

/** What its metrics, logs and shared state go by: no filter of a mesh is called so. */
export function useNameOf(adapter: string): string {
  return `adapter/${adapter}`;
}

/** Whether what is granted of an amount lets a request go on. */
export function isGranted(granted: number, amount: number, isBestEffort: boolean): boolean {
  return granted >= amount || (isBestEffort && granted > 0);
}

const MESSAGE_MAX_LENGTH = 4096;
/** Names and values of a refusal's fields; answers are kept, so each has a bound. */
const FIELDS_MAX_LENGTH = 4096;

/** Builds the component, or says every problem with paths below the adapter. */
export async function buildFilterBackend(parts: BackendParts<"filter">): Promise<Parsed<Backend>> {
  const { config, surroundings } = parts;
  const built = await surroundings.buildCalls(useOf(parts));
  if (!built.ok) {
    const problems = built.problems.map(({ path, message }) => ({
      path: `backend.${path.replace(/^source\.bundle/u, "bundle")}`,
      message,
    }));
    return { ok: false, problems };
  }
  const adapter = new FilterAdapter(parts, built.value);
  const phases = phasesOf(config);
  return {
    ok: true,
    value: {
      ...(phases.includes("check") && { check: adapter.asking("check") }),
      ...(phases.includes("quota") && { quota: adapter.asking("quota") }),
      ...(phases.includes("report") && { report: adapter }),
      stop: () => adapter.stop(),
    },
  };
}

/** As filters are used: what a chain decides of one is not of this. */
function useOf({ name, config }: BackendParts<"filter">): FilterUse {
  const { bundle, limits, upstreams } = config;
  return {
    name: useNameOf(name),
    source: { kind: "bundle", bundle },
    stage: bundle.manifest.stage,
    priority: 0,
    config: config.config,
    failurePolicy: "closed",
    limits,
    upstreams,
  };
}

class FilterAdapter implements Reporting {
  readonly #parts: BackendParts<"filter">;
  readonly #calls: AdapterCalls;
  readonly #batcher: Batcher<string>;
  /** The question that was rendered last: as a key first, then to be asked. */
  #question: Question | undefined = undefined;
  #lines = "";

  constructor(parts: BackendParts<"filter">, calls: AdapterCalls) {
    const { name, config, surroundings } = parts;
    this.#parts = parts;
    this.#calls = calls;
    this.#batcher = new Batcher({
      adapter: name,
      policy: config.batch,
      sizeOf: (lines) => lines.length,
      send: (batch) => this.#send(batch),
      schedule: surroundings.schedule,
      observer: surroundings.observer,
    });
  }

  /** Answers hold for what the component reads, and for nothing else. */
  asking(phase: "check" | "quota"): Asking {
    return {
      ask: (question) => this.#ask(phase, question),
      keyOf: (question) => this.#linesOf(phase, question),
      keepsAnswers: true,
    };
  }

  add(instance: Instance): void {
    this.#batcher.add(`${renderInstance(instance, this.#reads)}\n`);
  }

  flush(): Promise<void> {
    return this.#batcher.flush();
  }

  async stop(): Promise<void> {
    await this.#batcher.stop();
    this.#calls.stop();
  }

  get #reads(): BackendOf<"filter">["bundle"]["manifest"]["reads"] {
    return this.#parts.config.bundle.manifest.reads;
  }

  #ask(phase: "check" | "quota", question: Question): AdapterAnswer | Promise<AdapterAnswer> {
    const amount = phase === "quota" ? amountOf(question.instance) : 1;
    if (amount === undefined) return failed(`cannot charge ${String(question.instance.value)}`);
    // Nothing is asked for.
    if (amount === 0) return { kind: "allowed", ...ONCE };
    const lines = this.#linesOf(phase, question);
    this.#question = undefined;
    const asked = this.#calls.ask(phase, lines);
    const answer = (reply: AdapterReply): AdapterAnswer => {
      const { name, surroundings } = this.#parts;
      surroundings.observer.fuelUsed(name, phase, reply.fuel);
      return { ...this.#answerOf(phase, reply, amount, question.isBestEffort), fuel: reply.fuel };
    };
    if ("kind" in asked) return answer(asked);
    return cancelledBy(asked, question.signal).then(answer);
  }

  #linesOf(phase: "check" | "quota", question: Question): string {
    if (this.#question === question) return this.#lines;
    const { instance, isBestEffort } = question;
    this.#question = question;
    this.#lines =
      phase === "check"
        ? renderInstance(instance, this.#reads)
        : renderInstance({ ...instance, value: amountOf(instance) ?? 0 }, this.#reads, isBestEffort);
    return this.#lines;
  }

  #answerOf(phase: "check" | "quota", reply: AdapterReply, amount: number, isBestEffort: boolean): AdapterAnswer {
    const { name } = this.#parts;
    switch (reply.kind) {
      case "proceed": {
        const { granted = amount, validForMs, validUses } = reply;
        const isEnough = phase === "check" || isGranted(granted, amount, isBestEffort);
        if (isEnough) return { kind: "allowed", validForMs, validUses };
        return {
          kind: "refused",
          refusal: refusal({ adapter: name, status: 429, message: "" }),
          validForMs,
          validUses,
        };
      }
      case "reply":
        return this.#refused(reply);
      case "failed":
        return failed(reply.message);
      case "lost":
        return failed("nobody waits for it any more");
    }
  }

  #refused({ parts, validForMs, validUses }: Extract<AdapterReply, { kind: "reply" }>): AdapterAnswer {
    const { name } = this.#parts;
    const { status, headers, body } = parts;
    if (status < 300) return failed(`refuses with status ${status}, must be 300 to 599`);
    const length = headers.reduce((sum, [field, value]) => sum + field.length + value.length, 0);
    if (length > FIELDS_MAX_LENGTH)
      return failed(`refuses with fields of ${length} characters, limit is ${FIELDS_MAX_LENGTH}`);
    const message = String(body).slice(0, MESSAGE_MAX_LENGTH);
    const made = buildReply(name, { status, headers, body: message });
    if (typeof made === "string") return failed(made);
    return { kind: "refused", refusal: refusal({ adapter: name, status, message, headers }), validForMs, validUses };
  }

  /** One batch to the handler of `report`. */
  async #send(batch: readonly string[]): Promise<Sent> {
    const { name, surroundings } = this.#parts;
    const asked = this.#calls.ask("report", batch.join(""));
    const reply = "kind" in asked ? asked : await asked.done;
    surroundings.observer.fuelUsed(name, "report", reply.fuel);
    switch (reply.kind) {
      case "proceed":
        return SENT;
      case "reply":
        return { kind: "refused", message: String(reply.parts.body).slice(0, MESSAGE_MAX_LENGTH) };
      case "failed":
        // The same batch would make it fault again.
        return { kind: reply.isFault ? "refused" : "retry", message: reply.message };
      case "lost":
        return { kind: "retry", message: "its call was given up" };
    }
  }
}

/** Of what is charged: a whole number; `undefined` where it is none. */
function amountOf({ value = 1 }: Instance): number | undefined {
  return typeof value === "number" && value >= 0 ? Math.floor(value) : undefined;
}

/** A client that leaves ends what is asked for it. */
function cancelledBy(waiting: WaitingReply, signal: AbortSignal): Promise<AdapterReply> {
  const cancel = (): void => waiting.cancel(failure("downstream_closed", "the client left"));
  signal.addEventListener("abort", cancel, { once: true });
  return waiting.done.finally(() => signal.removeEventListener("abort", cancel));
}

function failed(message: string): AdapterAnswer {
  return { kind: "failed", message };
}
