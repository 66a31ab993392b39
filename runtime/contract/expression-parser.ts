// Mixer's expression language: Go's grammar of expressions, of which it takes operators, calls, methods and indexes.
import { parseDuration } from "./duration.ts";
import { readTokens, type Token } from "./expression-lexer.ts";
import {
  EXPRESSION_MAX_DEPTH,
  EXPRESSION_MAX_LENGTH,
  ExpressionFault,
  type Expression,
  type Literal,
} from "./expression-syntax.ts";

/** How tightly operators bind: Go's levels, so that `a | "b" == c` is `(a | "b") == c`. */
const LEVELS: Readonly<Record<string, number>> = {
  "||": 1,
  "&&": 2,
  "==": 3,
  "!=": 3,
  "<": 3,
  "<=": 3,
  ">": 3,
  ">=": 3,
  "+": 4,
  "|": 4,
};

/** Reads `text`; what its parts are is not looked at yet. Throws an `ExpressionFault`. */
export function readExpression(text: string): Expression {
  if (text.length > EXPRESSION_MAX_LENGTH)
    throw new ExpressionFault(1, `is ${text.length} characters long, limit is ${EXPRESSION_MAX_LENGTH}`);
  const reader = new Reader(readTokens(text));
  const expression = reader.binary(1);
  reader.end();
  return expression;
}

/** A text literal that says a span, as one; `undefined` for any other. */
export function durationLiteral(expression: Expression): Literal | undefined {
  if (expression.kind !== "literal" || typeof expression.value !== "string") return undefined;
  const value = parseDuration(expression.value);
  return value === undefined ? undefined : { kind: "literal", type: "duration", value, column: expression.column };
}

class Reader {
  readonly #tokens: readonly Token[];
  #position = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** Operators of `level` and above. */
  binary(level: number): Expression {
    this.#enter();
    let left = this.#postfix();
    for (;;) {
      const { text: name, kind, column } = this.#next;
      const own = kind === "operator" ? (LEVELS[name] ?? 0) : 0;
      if (own < level) break;
      this.#position++;
      const right = this.binary(own + 1);
      left = { kind: "call", name, args: [left, right], isMethod: false, column };
    }
    this.#depth--;
    return left;
  }

  end(): void {
    if (this.#next.kind !== "end") throw this.#unexpected("the end");
  }

  get #next(): Token {
    return this.#tokens[this.#position] ?? { kind: "end", text: "", column: 0 };
  }

  #postfix(): Expression {
    let left = this.#operand();
    for (let links = 0; ; links++) {
      if (links > EXPRESSION_MAX_DEPTH) throw new ExpressionFault(this.#next.column, TOO_DEEP);
      if (this.#takes("[")) {
        const { column } = this.#next;
        const index = this.binary(1);
        this.#expect("]");
        left = { kind: "call", name: "[]", args: [left, index], isMethod: false, column };
      } else if (this.#takes(".")) {
        const { column } = this.#next;
        const name = this.#name();
        this.#expect("(");
        left = { kind: "call", name, args: [left, ...this.#args()], isMethod: true, column };
      } else {
        return left;
      }
    }
  }

  #operand(): Expression {
    const token = this.#next;
    const { column } = token;
    if (this.#takes("(")) {
      const inner = this.binary(1);
      this.#expect(")");
      return inner;
    }
    const isNegative = this.#takes("-");
    const number = this.#next;
    if (number.kind === "int" || number.kind === "double") {
      this.#position++;
      return { kind: "literal", type: number.kind, value: isNegative ? -number.value : number.value, column };
    }
    if (isNegative) throw this.#unexpected("a number");
    if (token.kind === "string") {
      this.#position++;
      return { kind: "literal", type: "string", value: token.text, column };
    }
    return this.#named(column);
  }

  /** `true`, `source.ip`, `match(…)`, or `source.principal.startsWith(…)`, whose last word is a method. */
  #named(column: number): Expression {
    const words = [this.#name()];
    while (this.#next.text === "." && this.#next.kind === "operator" && !this.#isMethodNext()) {
      this.#position++;
      words.push(this.#name());
    }
    const [only = ""] = words;
    if (words.length === 1 && (only === "true" || only === "false"))
      return { kind: "literal", type: "bool", value: only === "true", column };
    if (words.length === 1 && this.#takes("("))
      return { kind: "call", name: only, args: this.#args(), isMethod: false, column };
    return { kind: "attribute", name: words.join("."), column };
  }

  #isMethodNext(): boolean {
    return this.#tokens[this.#position + 2]?.text === "(" && this.#tokens[this.#position + 2]?.kind === "operator";
  }

  /** After the opening parenthesis. */
  #args(): readonly Expression[] {
    if (this.#takes(")")) return [];
    const args = [this.binary(1)];
    while (this.#takes(",")) args.push(this.binary(1));
    this.#expect(")");
    return args;
  }

  #name(): string {
    const { kind, text } = this.#next;
    if (kind !== "name") throw this.#unexpected("a name");
    this.#position++;
    return text;
  }

  #takes(operator: string): boolean {
    if (this.#next.kind !== "operator" || this.#next.text !== operator) return false;
    this.#position++;
    return true;
  }

  #expect(operator: string): void {
    if (!this.#takes(operator)) throw this.#unexpected(JSON.stringify(operator));
  }

  #enter(): void {
    this.#depth++;
    if (this.#depth > EXPRESSION_MAX_DEPTH) throw new ExpressionFault(this.#next.column, TOO_DEEP);
  }

  #unexpected(wanted: string): ExpressionFault {
    const { kind, text, column } = this.#next;
    return new ExpressionFault(column, `${kind === "end" ? "it ends" : JSON.stringify(text)} where ${wanted} is due`);
  }
}

const TOO_DEEP = `is nested deeper than ${EXPRESSION_MAX_DEPTH}`;
