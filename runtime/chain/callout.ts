// A call that a filter makes to a service of the mesh, as the chain knows it; `upstream/callout.ts` makes it.
import type { Result } from "../exchange/failure.ts";

/** What is sent. */
export interface CalloutRequest {
  /** A cluster of the snapshot. */
  readonly cluster: string;
  /** `Host`; the cluster's service where it is not given. */
  readonly authority: string | undefined;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  /** An answer with a longer body is a failure. */
  readonly replyMaxBytes: number;
}

/** What came back, whole. */
export interface CalloutReply {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
}

/** Why nothing came back. The message is for filters and logs: lower case, and it names the cluster. */
export interface CalloutFault {
  readonly kind: "timeout" | "aborted" | "failed";
  readonly message: string;
}

/** Says whether somebody still waits for a call: an `AbortSignal`, or what costs less to make. Whoever makes the call may listen once. */
export interface CalloutSignal {
  readonly aborted: boolean;
  addEventListener(kind: "abort", run: () => void, options: { readonly once: true }): void;
  removeEventListener(kind: "abort", run: () => void): void;
}

/** Makes a call; never rejects. */
export type Callout = (request: CalloutRequest, signal: CalloutSignal) => Promise<Result<CalloutReply, CalloutFault>>;
