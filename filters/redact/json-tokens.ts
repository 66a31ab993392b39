// JSON's tokens (RFC 8259) in a text whose characters are bytes, so that places in it are places in the body. No pattern here
// can go back: a body is hostile. Most tokens are one match, as an interpreter may run this.

/** A string as it stands there, from its first quote to behind its last. */
export interface StringToken {
  readonly start: number;
  readonly end: number;
  /** ASCII without escapes: what it says is what stands there. */
  readonly isPlain: boolean;
}

const PLAIN = /"[ !#-[\]-~]*"/y;
const RUN = /[ !#-[\]-\u00ff]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[Ee][+-]?\d+)?|true|false|null/y;
const SPACE = /[ \t\n\r]*/y;
const COLON = /[ \t\n\r]*:[ \t\n\r]*/y;

/** Where a match of a sticky pattern ends; `at` where there is none. */
function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** Behind white space. */
export function skipSpace(text: string, at: number): number {
  return text.charCodeAt(at) > 0x20 ? at : endOf(SPACE, text, at);
}

/** Behind a colon and what is around it; `at` where there is none. */
export function skipColon(text: string, at: number): number {
  return endOf(COLON, text, at);
}

/** The string that begins here; `undefined` where none does. */
export function readString(text: string, start: number): StringToken | undefined {
  const plainEnd = endOf(PLAIN, text, start);
  if (plainEnd > start) return { start, end: plainEnd, isPlain: true };
  if (text.charAt(start) !== '"') return undefined;
  let at = start + 1;
  for (;;) {
    at = endOf(RUN, text, at);
    if (text.charAt(at) === '"') return { start, end: at + 1, isPlain: false };
    const end = endOf(ESCAPE, text, at);
    if (end === at) return undefined;
    at = end;
  }
}

/** Where the number or the literal that begins here ends; `start` where none does. */
export function skipScalar(text: string, start: number): number {
  return endOf(SCALAR, text, start);
}
