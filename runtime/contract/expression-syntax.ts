// What an expression of a rule is made of, once it has been read. Operators are calls, as in Mixer's own language.
import type { ValueType } from "./vocabulary.ts";

/** Longest text of an expression, characters. */
export const EXPRESSION_MAX_LENGTH = 4096;
/** Deepest nesting. */
export const EXPRESSION_MAX_DEPTH = 50;

/** A literal: spans are milliseconds. */
export interface Literal {
  readonly kind: "literal";
  readonly type: "string" | "int" | "double" | "bool" | "duration";
  readonly value: string | number | boolean;
  /** Where it begins, counted from 1. */
  readonly column: number;
}

export interface AttributeRead {
  readonly kind: "attribute";
  readonly name: string;
  readonly column: number;
}

/** `a == b` is a call of `==`; `a.startsWith(b)` one of `startsWith` with `a` first; `a["b"]` one of `[]`. */
export interface Call {
  readonly kind: "call";
  readonly name: string;
  readonly args: readonly Expression[];
  readonly isMethod: boolean;
  readonly column: number;
}

export type Expression = Literal | AttributeRead | Call;

/** An expression whose types fit together. */
export interface TypedExpression {
  readonly expression: Expression;
  readonly type: ValueType;
}

/** Thrown inside of the reader and the checker alone: what is wrong, and where. */
export class ExpressionFault extends Error {
  readonly column: number;

  constructor(column: number, message: string) {
    super(message);
    this.column = column;
  }
}
