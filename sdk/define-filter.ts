// What an author writes. The types hold a filter to what it declares: a header outside `reads` does not compile, and
// neither does an edit outside `writes`. The host checks the same again when the filter runs.
import type { z } from "zod";
import type { FilterHeaders } from "./headers.ts";
import type { Verdict } from "./verdict.ts";
import type { Attribute, LogLevel } from "./wit/world.ts";

/** When a filter runs: stages go in this order. */
export type Stage = "authn" | "authz" | "ratelimit" | "transform" | "observe";

/** A filter as its author defines it: what it may see, what it may change, and what it does. */
export interface FilterDefinition<Read extends string, Write extends string, Schema extends z.ZodType> {
  /** Lower-case letters, digits and dashes. */
  readonly name: string;
  readonly stage: Stage;
  /** Attributes (`:path`, `source.ip`, …) and header fields (lower case) that the handlers see. Default: none. */
  readonly reads?: readonly Read[];
  /**
   * Header fields (lower case) that the handlers may change; `:status` for the reply's status; `*` for every field, where
   * only the configuration knows which. Fields that frame a message (`content-length`, …) never. Default: none.
   */
  readonly writes?: readonly Write[];
  /** Checked when the filter is configured; handlers get its output. Default: an empty object. */
  readonly config?: Schema;
  /** On the way down. */
  readonly request?: Handler<FilterRequest<Read, Write>, Schema>;
  /** On the way up. */
  readonly response?: Handler<FilterResponse<Read, Write>, Schema>;
}

/** Decides on one message. Returning nothing is `proceed`; throwing fails the call, and the failure policy decides. */
export type Handler<Message, Schema extends z.ZodType> = (
  message: Message,
  context: FilterContext<Schema>,
) => Answer | Promise<Answer>;

// oxlint-disable-next-line typescript/no-invalid-void-type -- A handler without `return` is the common one.
type Answer = Verdict | undefined | void;

/** What a handler has besides the message. */
export interface FilterContext<Schema extends z.ZodType> {
  readonly config: z.output<Schema>;
  /** One line in the proxy's log; cut at 4096 characters, 16 lines a call. */
  readonly log: Readonly<Record<LogLevel, (message: string) => void>>;
}

/** Attributes that a message offers as properties of their own, where `reads` declares them. */
interface NamedAttributes {
  readonly ":method": { readonly method: string };
  readonly ":path": { readonly path: string };
  readonly ":authority": { readonly authority: string };
}

type FieldNames<Write extends string> = "*" extends Write ? string : Exclude<Write, Attribute>;
type Declared<Read extends string> = UnionToIntersection<NamedAttributes[Extract<Read, keyof NamedAttributes>]>;
type UnionToIntersection<Union> = (Union extends unknown ? (part: Union) => void : never) extends (
  whole: infer Whole,
) => void
  ? Whole
  : never;

/** A request's declared part. `method`, `path` and `authority` are there where `reads` names `:method`, `:path`, `:authority`. */
export type FilterRequest<Read extends string, Write extends string> = Declared<Read> & {
  readonly headers: FilterHeaders<Exclude<Read, Attribute>, FieldNames<Write>>;
  /** An attribute by name; `undefined` where it is not known. */
  attribute(name: Extract<Read, Attribute>): string | undefined;
};

type Status<Read extends string, Write extends string> = ":status" extends Write
  ? { status: number }
  : ":status" extends Read
    ? { readonly status: number }
    : unknown;

/** A reply's declared part. `status` is there where `reads` or `writes` names `:status`, and can be set where `writes` does. */
export type FilterResponse<Read extends string, Write extends string> = Status<Read, Write> & {
  readonly headers: FilterHeaders<Exclude<Read, Attribute>, FieldNames<Write>>;
  /** The request that this answers, as it went up the chain; its edits are over. */
  readonly request: FilterRequest<Read, never>;
};

/** A filter of any shape, as builders and hosts take it. */
export type AnyFilter = Readonly<{
  name: string;
  stage: Stage;
  reads: readonly string[];
  writes: readonly string[];
  config: z.ZodType | undefined;
  request: AnyHandler | undefined;
  response: AnyHandler | undefined;
}>;

/** A handler once its types have done their work: whoever calls it builds the message from what was declared. A method's type, since those accept any handler. */
export type AnyHandler = { handle(message: unknown, context: unknown): Answer | Promise<Answer> }["handle"];

/** Defines a filter. Give it to `export default` in the filter's own file. */
export function defineFilter<
  const Read extends Attribute | (string & {}) = never,
  const Write extends string = never,
  Schema extends z.ZodType = z.ZodObject,
>(definition: FilterDefinition<Read, Write, Schema>): AnyFilter {
  const reads: readonly string[] = definition.reads ?? [];
  const writes: readonly string[] = definition.writes ?? [];
  // What may be set may be read: `response.status += 1` would otherwise start from nothing.
  const needsStatus = writes.includes(":status") && !reads.includes(":status");
  return {
    name: definition.name,
    stage: definition.stage,
    reads: needsStatus ? [...reads, ":status"] : reads,
    writes,
    config: definition.config,
    request: definition.request,
    response: definition.response,
  };
}
