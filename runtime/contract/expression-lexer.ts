// Splits the text of an expression into words.
import { ExpressionFault } from "./expression-syntax.ts";

export type Token =
  | { readonly kind: "name" | "operator" | "end"; readonly text: string; readonly column: number }
  | { readonly kind: "string"; readonly text: string; readonly column: number }
  | { readonly kind: "int" | "double"; readonly value: number; readonly text: string; readonly column: number };

const SPACE = /[ \t\r\n]+/uy;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/uy;
const NUMBER = /\d+(?:\.\d+)?/uy;
const OPERATOR = /==|!=|<=|>=|&&|\|\||[|<>+\-()[\],.]/uy;
const RAW = /`[^`]*`/uy;
/** Go's strings, as far as text has a use for them. */
const QUOTED = /"(?:[^"\\\n]|\\(?:[abfnrtv"\\]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}))*"/uy;
const ESCAPES: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  '"': '"',
  "\\": "\\",
};

/** The words of `text`, `end` last. Throws an `ExpressionFault`. */
export function readTokens(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let position = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = position;
    return pattern.exec(text)?.[0];
  };
  for (;;) {
    position += match(SPACE)?.length ?? 0;
    const column = position + 1;
    if (position >= text.length) {
      tokens.push({ kind: "end", text: "", column });
      return tokens;
    }
    const word = match(NAME) ?? match(NUMBER) ?? match(RAW) ?? match(QUOTED) ?? match(OPERATOR);
    if (word === undefined) throw new ExpressionFault(column, faultAt(text.slice(position)));
    tokens.push(tokenOf(word, column));
    position += word.length;
  }
}

function tokenOf(word: string, column: number): Token {
  const [first = ""] = word;
  if (first === '"') return { kind: "string", text: unescape(word.slice(1, -1)), column };
  if (first === "`") return { kind: "string", text: word.slice(1, -1), column };
  if (/\d/u.test(first)) return numberOf(word, column);
  return { kind: /[A-Za-z_]/u.test(first) ? "name" : "operator", text: word, column };
}

function numberOf(word: string, column: number): Token {
  const value = Number(word);
  const kind = word.includes(".") ? "double" : "int";
  if (kind === "int" && !Number.isSafeInteger(value))
    throw new ExpressionFault(column, `${word} is beyond 2^53, the largest whole number`);
  return { kind, value, text: word, column };
}

function unescape(text: string): string {
  return text.replaceAll(/\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))/gu, (_, wide, narrow, letter: string) => {
    const hex: unknown = wide ?? narrow;
    return typeof hex === "string" ? String.fromCharCode(Number.parseInt(hex, 16)) : (ESCAPES[letter] ?? letter);
  });
}

function faultAt(rest: string): string {
  const [first = ""] = rest;
  if (first === '"' || first === "`")
    return "a string begins here and does not end, or holds an escape that is not known";
  return `${JSON.stringify(first)} is not part of the language`;
}
