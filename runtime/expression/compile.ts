// From an expression to a function: everything that can be known beforehand is, patterns included. A call makes no objects.
//
// An attribute that an exchange does not have makes what is computed from it absent too; `a | b` is `b` then, and a match
// that is absent does not match.
import type { Call, Expression } from "../contract/expression-syntax.ts";
import { CONVERSIONS, EMPTY_MAP, type StringMap, type Value } from "./value.ts";

/** Reads a value of what it is compiled for; `undefined` is absent. */
export type Read<Of> = (of: Of) => Value | undefined;

/** What expressions are compiled with. */
export interface Surroundings<Of> {
  /** The reader of an attribute, which exists. */
  readonly attribute: (name: string) => Read<Of>;
  /** A pattern of RE2's syntax, which was checked, as a test of the whole or a part of a text in time linear in it. */
  readonly pattern: (source: string) => (text: string) => boolean;
}

/** A reader of the expression's value. The types were checked by `parseExpression`. */
export function compileExpression<Of>(expression: Expression, surroundings: Surroundings<Of>): Read<Of> {
  switch (expression.kind) {
    case "literal": {
      const { value } = expression;
      return () => value;
    }
    case "attribute":
      return surroundings.attribute(expression.name);
    case "call":
      return compileCall(expression, surroundings);
  }
}

function compileCall<Of>(call: Call, surroundings: Surroundings<Of>): Read<Of> {
  const [first = ABSENT, second = ABSENT, third = ABSENT] = call.args.map((arg) =>
    compileExpression(arg, surroundings),
  );
  switch (call.name) {
    case "==":
      return both(first, second, (a, b) => a === b);
    case "!=":
      return both(first, second, (a, b) => a !== b);
    case "<":
      return both(first, second, (a, b) => a < b);
    case "<=":
      return both(first, second, (a, b) => a <= b);
    case ">":
      return both(first, second, (a, b) => a > b);
    case ">=":
      return both(first, second, (a, b) => a >= b);
    case "+":
      return both(first, second, add);
    case "&&":
      return (of) => (first(of) === true ? second(of) : first(of));
    case "||":
      return (of) => (first(of) === false ? second(of) : first(of));
    case "|":
      return (of) => first(of) ?? second(of);
    case "[]":
      return (of) => {
        const key = second(of);
        return typeof key === "string" ? mapIn(first(of))?.get(key) : undefined;
      };
    case "conditional":
    case "conditionalString":
      return (of) => {
        const condition = first(of);
        return condition === undefined ? undefined : condition === true ? second(of) : third(of);
      };
    case "emptyStringMap":
      return () => EMPTY_MAP;
    default:
      return compileText(call, first, second, surroundings);
  }
}

/** Functions of text. */
function compileText<Of>(call: Call, first: Read<Of>, second: Read<Of>, surroundings: Surroundings<Of>): Read<Of> {
  switch (call.name) {
    case "match": {
      const [, glob] = call.args;
      if (glob?.kind !== "literal")
        return both(first, second, (text, pattern) => globOf(String(pattern))(String(text)));
      const matches = globOf(String(glob.value));
      return one(first, matches);
    }
    case "matches": {
      const [pattern] = call.args;
      return one(second, surroundings.pattern(pattern?.kind === "literal" ? String(pattern.value) : ""));
    }
    case "startsWith":
      return both(first, second, (text, start) => String(text).startsWith(String(start)));
    case "endsWith":
      return both(first, second, (text, end) => String(text).endsWith(String(end)));
    case "toLower":
      return one(first, (text) => text.toLowerCase());
    case "reverse":
      return one(first, (text) => Array.from(text).toReversed().join(""));
    case "size":
      return one(first, (text) => text.length);
    default: {
      const convert = CONVERSIONS[call.name];
      // A function that the contract knows and nobody wrote here is a bug of ours, found by the first test that compiles it.
      if (convert === undefined) throw new Error(`function ${call.name} is not compiled`);
      return one(first, convert);
    }
  }
}

/** Mixer's globs: a star at the end, or else at the beginning, stands for anything. */
function globOf(pattern: string): (text: string) => boolean {
  if (pattern.endsWith("*")) {
    const start = pattern.slice(0, -1);
    return (text) => text.startsWith(start);
  }
  if (pattern.startsWith("*")) {
    const end = pattern.slice(1);
    return (text) => text.endsWith(end);
  }
  return (text) => text === pattern;
}

const ABSENT = (): undefined => undefined;

function one<Of>(read: Read<Of>, apply: (text: string) => Value | undefined): Read<Of> {
  return (of) => {
    const value = read(of);
    return typeof value === "string" ? apply(value) : undefined;
  };
}

function both<Of>(first: Read<Of>, second: Read<Of>, apply: (a: Scalar, b: Scalar) => Value | undefined): Read<Of> {
  return (of) => {
    const a = first(of);
    if (a === undefined || typeof a === "object") return undefined;
    const b = second(of);
    return b === undefined || typeof b === "object" ? undefined : apply(a, b);
  };
}

type Scalar = string | number | boolean;

function add(a: Scalar, b: Scalar): Value {
  return typeof a === "number" && typeof b === "number" ? a + b : `${a}${b}`;
}

function mapIn(value: Value | undefined): StringMap | undefined {
  return typeof value === "object" ? value : undefined;
}
