// What a handler answers.

/** A handler's answer. Returning nothing is `proceed`. */
export type Verdict = { readonly kind: "proceed" } | ({ readonly kind: "reply" } & ReplyInit);

/** A reply that the filter makes itself. */
export interface ReplyInit {
  /** `200` to `599`. */
  readonly status: number;
  /** Fields by name. `content-length` is filled in, and `content-type: text/plain` where there is a body without one. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as UTF-8. Default: no body. */
  readonly body?: string;
}

const PROCEED: Verdict = { kind: "proceed" };

/** The message goes on, with the edits that the handler made. */
export function proceed(): Verdict {
  return PROCEED;
}

/** Answers instead of whoever is behind this filter; edits that the handler made are dropped. */
export function reply(init: ReplyInit): Verdict {
  return { kind: "reply", ...init };
}
