// Expressions of rules, read and checked: what control accepts, a proxy compiles. Every type is known beforehand, so that
// nothing but an absent attribute can go wrong when an exchange comes.
import { durationLiteral, readExpression } from "./expression-parser.ts";
import { ExpressionFault, type Call, type Expression, type TypedExpression } from "./expression-syntax.ts";
import { VOCABULARY, type ValueType } from "./vocabulary.ts";

/** An expression, or what is wrong with it. */
export type ParsedExpression =
  | { readonly ok: true; readonly value: TypedExpression }
  | { readonly ok: false; readonly error: string };

/** Reads and checks an expression; the error says the column, from 1 on. */
export function parseExpression(text: string): ParsedExpression {
  try {
    return { ok: true, value: check(readExpression(text)) };
  } catch (error) {
    if (!(error instanceof ExpressionFault)) throw error;
    return { ok: false, error: `column ${error.column}: ${error.message}` };
  }
}

/** The attributes that an expression reads. */
export function attributesIn(expression: Expression): readonly string[] {
  switch (expression.kind) {
    case "literal":
      return [];
    case "attribute":
      return [expression.name];
    case "call":
      return expression.args.flatMap((arg) => attributesIn(arg));
  }
}

/** What a call takes and gives; `same` is one type, any that it lists, in all such places. */
interface Signature {
  readonly takes: readonly (ValueType | "same")[];
  readonly same?: readonly ValueType[];
  readonly gives: ValueType | "same";
  readonly isMethod?: boolean;
}

const COMPARED: readonly ValueType[] = [
  "string",
  "int",
  "double",
  "bool",
  "duration",
  "timestamp",
  "ip",
  "dns_name",
  "email",
  "uri",
];
const ORDERED: readonly ValueType[] = ["string", "int", "double", "duration", "timestamp"];
const ANY: readonly ValueType[] = [...COMPARED, "map"];

const equality: Signature = { takes: ["same", "same"], same: COMPARED, gives: "bool" };
const order: Signature = { takes: ["same", "same"], same: ORDERED, gives: "bool" };
const logic: Signature = { takes: ["bool", "bool"], gives: "bool" };
const choice: Signature = { takes: ["bool", "same", "same"], same: ANY, gives: "same" };
const textTest: Signature = { takes: ["string", "string"], gives: "bool", isMethod: true };
const text: Signature = { takes: ["string"], gives: "string" };

const SIGNATURES: Readonly<Record<string, Signature>> = {
  "==": equality,
  "!=": equality,
  "<": order,
  "<=": order,
  ">": order,
  ">=": order,
  "&&": logic,
  "||": logic,
  "|": { takes: ["same", "same"], same: ANY, gives: "same" },
  "+": { takes: ["same", "same"], same: ["string", "int", "double"], gives: "same" },
  "[]": { takes: ["map", "string"], gives: "string" },
  match: { takes: ["string", "string"], gives: "bool" },
  matches: textTest,
  startsWith: textTest,
  endsWith: textTest,
  conditional: choice,
  conditionalString: choice,
  toLower: text,
  reverse: text,
  size: { takes: ["string"], gives: "int" },
  ip: { takes: ["string"], gives: "ip" },
  timestamp: { takes: ["string"], gives: "timestamp" },
  dnsName: { takes: ["string"], gives: "dns_name" },
  email: { takes: ["string"], gives: "email" },
  uri: { takes: ["string"], gives: "uri" },
  emptyStringMap: { takes: [], gives: "map" },
};

/** What RE2 does not have, and what is not of one meaning in every engine. */
const BEYOND_RE2 = /\(\?<?[=!]|\\[1-9k]/u;

function check(expression: Expression): TypedExpression {
  switch (expression.kind) {
    case "literal":
      return { expression, type: expression.type };
    case "attribute": {
      const known = VOCABULARY.get(expression.name);
      if (known === undefined)
        throw new ExpressionFault(expression.column, `${expression.name} is not an attribute that is known`);
      return { expression, type: known.type };
    }
    case "call":
      return checkCall(expression);
  }
}

function checkCall(call: Call): TypedExpression {
  const signature = Object.hasOwn(SIGNATURES, call.name) ? SIGNATURES[call.name] : undefined;
  if (signature === undefined || (signature.isMethod ?? false) !== call.isMethod) throw unknownCall(call, signature);
  const { takes, gives, same = [] } = signature;
  if (takes.length !== call.args.length)
    throw new ExpressionFault(call.column, `${call.name} takes ${takes.length} values, has ${call.args.length}`);
  const args = asSpans(call.args.map((arg) => check(arg)));
  let common: ValueType | undefined;
  args.forEach(({ type, expression: { column } }, index) => {
    const wanted = takes[index] ?? "same";
    if (wanted === "same" && common === undefined) {
      if (!same.includes(type)) throw new ExpressionFault(column, `${call.name} takes no ${type}`);
      common = type;
      return;
    }
    const due = wanted === "same" ? common : wanted;
    if (type !== due) throw new ExpressionFault(column, `is of type ${type} where ${call.name} takes ${due}`);
  });
  if (call.name === "matches") checkPattern(call);
  return {
    expression: { ...call, args: args.map(({ expression }) => expression) },
    type: gives === "same" ? (common ?? "string") : gives,
  };
}

/** Beside a span, text that says one is one: `response.duration > "100ms"`. */
function asSpans(args: readonly TypedExpression[]): readonly TypedExpression[] {
  if (!args.some(({ type }) => type === "duration")) return args;
  return args.map((arg) => {
    const span = durationLiteral(arg.expression);
    return span === undefined ? arg : { expression: span, type: "duration" };
  });
}

function checkPattern({ args: [pattern] }: Call): void {
  if (pattern?.kind !== "literal" || typeof pattern.value !== "string")
    throw new ExpressionFault(
      pattern?.column ?? 1,
      `matches needs its pattern written out: "^/api".matches(request.path)`,
    );
  const { value, column } = pattern;
  if (BEYOND_RE2.test(value))
    throw new ExpressionFault(column, "the pattern uses lookaround or a back-reference, which RE2 does not have");
  try {
    RegExp(value, "u");
  } catch (error) {
    throw new ExpressionFault(column, `is not a regular expression: ${error instanceof Error ? error.message : ""}`);
  }
}

function unknownCall({ name, column, isMethod }: Call, signature: Signature | undefined): ExpressionFault {
  if (signature === undefined) {
    const known = Object.keys(SIGNATURES).filter((candidate) => /^[a-z]/u.test(candidate));
    return new ExpressionFault(column, `${name} is not a function; these are: ${known.join(", ")}`);
  }
  const form = isMethod ? `${name}(…)` : `value.${name}(…)`;
  return new ExpressionFault(column, `is written ${form}`);
}
