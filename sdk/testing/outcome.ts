// What a test sends through a filter, and what it sees of it.
import type { Witnessed, WitnessedEdit } from "../../runtime/chain/witness.ts";
import type { LogLevel } from "../wit/world.ts";
import type { ReadBody, TestBody } from "./pieces.ts";
import type { ReceivedRequest } from "./upstream.ts";

/** A request as a test writes it. */
export interface TestRequest {
  /** Default: `GET`, or `POST` where there is a body. */
  readonly method?: string;
  readonly authority?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text or bytes; a list arrives piece by piece. */
  readonly body?: TestBody;
  readonly trailers?: Readonly<Record<string, string>>;
  /** Address of the client. Not on engine `proxy`, where connections are real. */
  readonly sourceIp?: string;
  /** Identity of the client, as mutual TLS tells it. Not on engine `proxy`. */
  readonly sourcePrincipal?: string;
  /** What earlier filters left, without `metadata.`. Not on engine `proxy`, where the filter is alone. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly requestId?: string;
  /** The client leaves when it is aborted, and the request rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** One line that the filter wrote. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What became of a request. Header names are in lower case; several fields of a name are joined with `", "`. */
export interface Outcome {
  /** What the filter decided: `reply` is its own, on the way down or up. */
  readonly verdict: "proceed" | "reply" | "failed";
  /** The request as the service got it; `undefined` where it never did. */
  readonly forwarded: ReceivedRequest | undefined;
  /** What the client got. */
  readonly reply: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
    readonly bytes: Uint8Array;
    readonly trailers: Readonly<Record<string, string>>;
    /** Why the body broke off. */
    readonly aborted: string | undefined;
  };
  /** Why it failed, with the line of the author's file. */
  readonly failure: string | undefined;
  /** Changes to heads, on the way down and up. */
  readonly edits: readonly (WitnessedEdit & { readonly phase: "request" | "response" })[];
  /** Lines that were written while it was answered. */
  readonly logs: readonly LogLine[];
  /** What was left for later filters and the access log, without `metadata.`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Fuel of its calls; `0` on engine `source`. */
  readonly fuel: number;
}

/** What is known of a request when it is over. */
export interface Told {
  /** Fields that the test itself gave, lower-case. */
  readonly given: ReadonlySet<string>;
  readonly seen: readonly Witnessed[];
  readonly forwarded: ReceivedRequest | undefined;
  readonly reply: { readonly status: number; readonly headers: Readonly<Record<string, string>> };
  readonly body: ReadBody;
  readonly logs: readonly LogLine[];
  readonly explain: (message: string) => string;
}

/** What every proxy sets itself; shown only where the test or the filter set it. */
const REQUEST_FIELDS = ["host", "x-request-id", "x-forwarded-proto", "x-envoy-attempt-count", "transfer-encoding"];
const REPLY_FIELDS = ["connection", "date", "keep-alive", "transfer-encoding", "x-envoy-upstream-service-time"];

/** The outcome of a request. */
export function outcomeOf({ given, seen, forwarded, reply, body, logs, explain }: Told): Outcome {
  const edits = seen.flatMap(({ phase, edits: made }) =>
    phase === "log" ? [] : made.map((edit) => Object.assign({ phase }, edit)),
  );
  const kept = (fields: Readonly<Record<string, string>>, hidden: readonly string[], phase: string) =>
    Object.fromEntries(
      Object.entries(fields).filter(
        ([name]) =>
          !hidden.includes(name) ||
          given.has(name) ||
          edits.some((edit) => edit.name === name && edit.phase === phase && edit.kind !== "remove"),
      ),
    );
  const decided = seen.filter(({ phase }) => phase !== "log").map(({ verdict }) => verdict.kind);
  const failed = seen.map(({ verdict }) => verdict).find(({ kind }) => kind === "failed");
  return {
    verdict: decided.find((kind) => kind === "failed") ?? decided.find((kind) => kind === "reply") ?? "proceed",
    forwarded: forwarded && { ...forwarded, headers: kept(forwarded.headers, REQUEST_FIELDS, "request") },
    reply: {
      status: reply.status,
      headers: kept(reply.headers, REPLY_FIELDS, "response"),
      body: new TextDecoder().decode(body.bytes),
      bytes: body.bytes,
      trailers: body.trailers,
      aborted: body.aborted === undefined ? undefined : explain(body.aborted),
    },
    failure: failed?.kind === "failed" ? explain(failed.failure.message) : undefined,
    edits,
    logs,
    metadata: Object.fromEntries(seen.at(-1)?.exchange.metadata ?? []),
    fuel: seen.reduce((sum, { fuel }) => sum + fuel, 0),
  };
}
