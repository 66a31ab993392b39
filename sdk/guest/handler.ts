// The component's exports over an author's filter: heads become messages, verdicts become answers (the grammar is in filter.wit).
import { parseWith } from "../../runtime/contract/problem.ts";
import type { AnyFilter, AnyHandler } from "../define-filter.ts";
import type { EditableHeaders } from "../headers.ts";
import { RequestMessage, ResponseMessage } from "../message.ts";
import type { Verdict } from "../verdict.ts";
import type { Phase, Side } from "../wit/world.ts";
import { HEAD_LOOKUP } from "./head.ts";
import { log } from "./log.ts";
import { drainJobs, GuestPromise } from "./promise.ts";

/** The exports of interface `handler`. */
export interface GuestHandler {
  configure(config: string): void;
  begin(call: number, phase: Phase, head: string): string;
  resume(call: number, operation: number, outcome: string, payload: Uint8Array): string;
  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): string;
  cancel(call: number): void;
}

const NO_CONFIG = { ok: true, value: {} } as const;

/** The exports of a component that runs `filter`. */
export function createHandler(filter: AnyFilter): GuestHandler {
  const { request, response } = filter;
  let context: unknown;

  return {
    configure(config) {
      let problems: unknown;
      try {
        const parsed = filter.config === undefined ? NO_CONFIG : parseWith<unknown>(filter.config, JSON.parse(config));
        if (parsed.ok) context = { config: parsed.value, log };
        else problems = parsed.problems;
      } catch (error) {
        // A transform of the author's that throws.
        problems = [{ path: "", message: String(error) }];
      }
      // The error of a WIT result is thrown as it is: a string.
      if (problems !== undefined) throw JSON.stringify(problems);
    },
    begin(_call, phase, head) {
      try {
        if (phase === "request") {
          if (request === undefined) return "proceed\n";
          // oxlint-disable-next-line prefer-template
          const message = new RequestMessage(HEAD_LOOKUP, "\n" + head);
          return settle(request(message, context), message.headers);
        }
        if (response === undefined) return "proceed\n";
        // The reply's lines, an empty line, the request's lines; either may have none.
        const end = head.startsWith("\n") ? 0 : head.indexOf("\n\n") + 1;
        const below = new RequestMessage(HEAD_LOOKUP, head.slice(end));
        const message = new ResponseMessage(HEAD_LOOKUP, `\n${head.slice(0, end)}`, below);
        return settle(response(message, context), message.headers);
      } catch (error) {
        return renderFailed(error);
      }
    },
    resume(_call, operation) {
      return `failed operation ${operation} was not started`;
    },
    chunk: () => "pass\n",
    cancel: () => undefined,
  };
}

function settle(answer: ReturnType<AnyHandler>, headers: EditableHeaders): string {
  // The global promise is the SDK's, so the second question is the compiler's alone.
  if (!(answer instanceof Promise)) return renderVerdict(answer ?? undefined, headers);
  if (!(answer instanceof GuestPromise)) return renderFailed("the handler returned a promise of another kind");
  drainJobs();
  const { settled } = answer;
  if (settled === undefined) return "pending\n";
  return settled.ok ? renderVerdict(settled.value, headers) : renderFailed(settled.reason);
}

function renderVerdict(verdict: Verdict | undefined, headers: EditableHeaders): string {
  if (verdict === undefined || verdict.kind === "proceed") {
    const { edits } = headers;
    let answer = "proceed\n";
    // Sums and not templates: the interpreter makes a method call of a template.
    /* oxlint-disable prefer-template */
    for (let index = 0; index < edits.length; index += 3) {
      const kind = edits[index] ?? "";
      answer += kind + " " + (edits[index + 1] ?? "");
      answer += kind === "remove" ? "\n" : ": " + (edits[index + 2] ?? "") + "\n";
    }
    /* oxlint-enable prefer-template */
    return answer;
  }
  if (verdict.kind !== "reply") return renderFailed("the handler returned something that is not a verdict");
  let answer = `reply ${verdict.status}\n`;
  for (const [name, value] of Object.entries(verdict.headers ?? {})) {
    if (name.includes("\n") || value.includes("\n")) return renderFailed(`${name}: a field holds no line break`);
    answer += `add ${name}: ${value}\n`;
  }
  return verdict.body === undefined || verdict.body === "" ? answer : `${answer}\n${verdict.body}`;
}

function renderFailed(error: unknown): string {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `failed ${message}`;
}
