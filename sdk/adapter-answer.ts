// What an adapter's handlers answer.

/** How long an answer holds for what was asked. Default: this once. */
export interface AnswerKeeping {
  /**
   * For so many milliseconds, an instance that is alike in all that the adapter reads is answered alike, and not asked
   * about again. Default `0`: each is asked about.
   */
  readonly validForMs?: number;
  /** Of those, so many uses, the first among them. Default: any number. */
  readonly validUses?: number;
}

/** What the client gets in the place of an answer of whoever it called. */
export interface RefusalInit extends AnswerKeeping {
  /** `300` to `599`. Default: 403 of a check, 429 of a quota. */
  readonly status?: number;
  /** Body of the reply, plain text, cut at 4096 characters; reports see it as `check.error_message`. Default: none. */
  readonly message?: string;
  /** Fields by name. */
  readonly headers?: Readonly<Record<string, string>>;
}

export type Allowed = { readonly kind: "allow" } & AnswerKeeping;
export type Granted = { readonly kind: "grant"; readonly amount: number } & AnswerKeeping;
export type Refused = { readonly kind: "refuse" } & RefusalInit;
export type AnyAnswer = Allowed | Granted | Refused;

/** The request may go on, as far as this check is concerned. */
export function allow(keeping?: AnswerKeeping): Allowed {
  return keeping === undefined ? ALLOWED : { kind: "allow", ...keeping };
}

const ALLOWED: Allowed = { kind: "allow" };

/** So much of a quota may be had: a whole number. Less than was asked for refuses the request, unless its rule takes what there is. */
export function grant(amount: number, keeping?: AnswerKeeping): Granted {
  if (!isAmount(amount)) throw new TypeError(`grant: ${amount} is not a whole number of 0 or more`);
  return keeping === undefined ? { kind: "grant", amount } : { kind: "grant", amount, ...keeping };
}

/** Of a check or quota: the request goes no further. Of a report: these instances are wanted never, and are dropped. */
export function refuse(init: RefusalInit = {}): Refused {
  return { kind: "refuse", ...init };
}

/** An answer that was checked: in the words of the WIT. */
export type AdapterAnswer = {
  /** `0` is this once. */
  readonly validForMs: number;
  /** `undefined`: as often as one likes. */
  readonly validUses: number | undefined;
} & (
  | { readonly kind: "proceed"; readonly granted: number | undefined }
  | {
      readonly kind: "reply";
      readonly status: number;
      readonly fields: readonly (readonly [string, string])[];
      readonly message: string;
    }
);

const ANSWERS: Readonly<Record<"check" | "quota" | "report", string>> = {
  check: "the handler returned neither allow() nor refuse()",
  quota: "the handler returned neither grant() nor refuse()",
  report: "the handler returned something else than nothing or refuse()",
};

/** Reads what a handler of that phase returned, which may be anything. Throws where it is no answer to it. */
export function readAnswer(phase: "check" | "quota" | "report", given: unknown): AdapterAnswer {
  if (given === undefined && phase === "report") return PROCEED;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every field of it is checked
  const answer = (typeof given === "object" && given !== null ? given : {}) as Partial<AnyAnswer>;
  if (answer.kind === "refuse") {
    const { status = phase === "quota" ? 429 : 403, message = "" } = answer;
    return { kind: "reply", status, fields: fieldsOf(answer), message, ...keepingOf(answer) };
  }
  const isGrant = phase === "quota" && answer.kind === "grant" && isAmount(answer.amount);
  if (!isGrant && (phase !== "check" || answer.kind !== "allow")) throw new TypeError(ANSWERS[phase]);
  const granted = isGrant ? answer.amount : undefined;
  const { validForMs, validUses } = keepingOf(answer);
  return { kind: "proceed", granted, validForMs, validUses };
}

const ONCE = { validForMs: 0, validUses: undefined } as const;
const PROCEED: AdapterAnswer = { kind: "proceed", granted: undefined, validForMs: 0, validUses: undefined };
/** What the grammar can say of an answer's keeping: up to eleven days, a billion uses. */
const KEEPING_MAX = 999_999_999;

function keepingOf({ validForMs = 0, validUses }: AnswerKeeping): Pick<AdapterAnswer, "validForMs" | "validUses"> {
  if (typeof validForMs !== "number" || !(validForMs >= 0))
    throw new TypeError(`validForMs is ${shown(validForMs)}, must be a number of milliseconds, 0 or more`);
  if (validUses !== undefined && (typeof validUses !== "number" || !(validUses >= 1)))
    throw new TypeError(`validUses is ${shown(validUses)}, must be a number, 1 or more`);
  if (validForMs === 0) return ONCE;
  return {
    validForMs: Math.min(KEEPING_MAX, Math.round(validForMs)),
    validUses: validUses === undefined ? undefined : Math.min(KEEPING_MAX, Math.floor(validUses)),
  };
}

function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : JSON.stringify(value);
}

/** A field with a line break would be two: an answer is lines. */
function fieldsOf({ headers = {} }: RefusalInit): readonly (readonly [string, string])[] {
  const fields = Object.entries(headers);
  for (const [name, value] of fields)
    if (name.includes("\n") || value.includes("\n")) throw new TypeError(`${name}: a field holds no line break`);
  return fields;
}

function isAmount(amount: unknown): boolean {
  return Number.isSafeInteger(amount) && Number(amount) >= 0;
}
