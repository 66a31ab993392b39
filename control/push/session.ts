// What control knows of one connected proxy, as a pure step: at most one push is unanswered, later ones merge into the newest.
import type { Problem } from "../../runtime/contract/problem.ts";
import type { Version } from "../../runtime/contract/snapshot.ts";

export interface Session {
  readonly acked: Version | undefined;
  readonly inFlight: Version | undefined;
  /** Published while a push was in flight; only the newest is kept. */
  readonly waiting: Version | undefined;
  /** The newest version that it refused. `attempts` counts refusals of that version in a row. */
  readonly rejected:
    | { readonly version: Version; readonly problems: readonly Problem[]; readonly attempts: number }
    | undefined;
}

export type SessionEvent =
  | { readonly kind: "published"; readonly version: Version }
  | { readonly kind: "acked"; readonly version: Version }
  | { readonly kind: "nacked"; readonly version: Version; readonly problems: readonly Problem[] }
  /** The wait after a refusal is over: the reason (a file that could not be fetched) may have passed. */
  | { readonly kind: "retry_due" };

export interface Step {
  readonly session: Session;
  /** Must be sent now. */
  readonly send: Version | undefined;
}

/** A proxy that said hello; `running` is what it has from its own disk. */
export function startSession(running: Version | undefined): Session {
  return { acked: running, inFlight: undefined, waiting: undefined, rejected: undefined };
}

/** Pure: the gateway writes `send` to the socket, the status page reads `session`. An answer about anything but the push in flight changes nothing. */
export function stepSession(session: Session, event: SessionEvent): Step {
  switch (event.kind) {
    case "published": {
      if (session.inFlight !== undefined) return { session: { ...session, waiting: event.version }, send: undefined };
      return sendNext(session, event.version);
    }
    case "acked": {
      if (event.version !== session.inFlight) return { session, send: undefined };
      const acked = { acked: event.version, inFlight: undefined, waiting: undefined, rejected: undefined };
      return sendNext(acked, session.waiting);
    }
    case "nacked": {
      if (event.version !== session.inFlight) return { session, send: undefined };
      const attempts = session.rejected?.version === event.version ? session.rejected.attempts + 1 : 1;
      const rejected = { version: event.version, problems: event.problems, attempts };
      return sendNext({ ...session, inFlight: undefined, waiting: undefined, rejected }, session.waiting);
    }
    case "retry_due": {
      if (session.inFlight !== undefined || session.rejected === undefined) return { session, send: undefined };
      const { version } = session.rejected;
      return { session: { ...session, inFlight: version }, send: version };
    }
  }
}

/** Sends a version unless the proxy already runs it or has just refused it. */
function sendNext(session: Session, version: Version | undefined): Step {
  if (version === undefined) return { session, send: undefined };
  // Wanted again is what it runs: what it refused in between is no longer of interest.
  if (version === session.acked) return { session: { ...session, rejected: undefined }, send: undefined };
  if (version === session.rejected?.version) return { session, send: undefined };
  return { session: { ...session, inFlight: version, rejected: undefined }, send: version };
}
