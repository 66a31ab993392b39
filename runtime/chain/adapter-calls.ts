// Calls of an adapter's handlers: what rules ask and tell goes in as the WIT's lines, and whatever the handler does ends in
// an answer. Native and sandboxed adapters differ in who calls the handler.
import type { AdapterPhase } from "../contract/adapter.ts";
import type { Failure } from "../exchange/failure.ts";
import type { ReplyParts } from "./apply.ts";

/** How long an answer holds for the same lines, and how often; `0` ms is this once. */
interface Keeping {
  readonly validForMs: number;
  readonly validUses: number;
}

/** What the handler said, and the fuel of all of the call. */
export type AdapterReply = { readonly fuel: number } & (
  | ({
      readonly kind: "proceed";
      /** Of a quota; `undefined`: the whole amount. */
      readonly granted: number | undefined;
    } & Keeping)
  | ({ readonly kind: "reply"; readonly parts: ReplyParts } & Keeping)
  /** The message is for logs. `isFault`: the call itself made its instance fault, and would again. */
  | { readonly kind: "failed"; readonly message: string; readonly isFault: boolean }
  /** Nobody waits for it any more. */
  | { readonly kind: "lost" }
);

/** A call that waits for something. */
export interface WaitingReply {
  readonly done: Promise<AdapterReply>;
  cancel(cause: Failure): void;
}

/** An adapter that is ready to be asked. */
export interface AdapterCalls {
  /** Answers at once where the handler does. */
  ask(phase: AdapterPhase, lines: string): AdapterReply | WaitingReply;
  stop(): void;
}

/** As often as one likes. */
export const ANY_USES: number = Number.MAX_SAFE_INTEGER;
