// Words of an inline command, as Redis splits them: with its quotes and escapes, since `"flush\x61ll"` is FLUSHALL to it.
import { RespError } from "./resp-line.ts";

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\u0007" };
/** What C's `isspace` takes for one; Latin-1 has others. */
const SPACE = /[\t-\r ]/u;

/** The words of a line. Throws where Redis would refuse it. */
export function splitInline(line: string): readonly string[] {
  // To Redis a text ends there, and to whoever counts bytes it does not.
  if (line.includes("\0")) throw new RespError("a NUL in an inline command");
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && SPACE.test(line.charAt(at))) at++;
    if (at >= line.length) return words;
    const word = readWord(line, at);
    words.push(word.text);
    at = word.end;
  }
}

function readWord(line: string, start: number): { readonly text: string; readonly end: number } {
  let text = "";
  let at = start;
  while (at < line.length && !SPACE.test(line.charAt(at))) {
    const quote = line.charAt(at);
    if (quote !== '"' && quote !== "'") {
      text += quote;
      at++;
      continue;
    }
    const quoted = readQuoted(line, at + 1, quote);
    text += quoted.text;
    at = quoted.end;
    if (at < line.length && !SPACE.test(line.charAt(at))) throw new RespError("quotes end inside of a word");
  }
  return { text, end: at };
}

function readQuoted(line: string, start: number, quote: string): { readonly text: string; readonly end: number } {
  let text = "";
  for (let at = start; at < line.length;) {
    const character = line.charAt(at);
    if (character === quote) return { text, end: at + 1 };
    const hex = quote === '"' ? /^\\x([0-9a-fA-F]{2})/u.exec(line.slice(at, at + 4)) : null;
    if (hex !== null) {
      text += String.fromCharCode(Number.parseInt(hex[1] ?? "", 16));
      at += 4;
    } else if (character === "\\" && at + 1 < line.length && (quote === '"' || line[at + 1] === "'")) {
      const escaped = line.charAt(at + 1);
      text += quote === '"' ? (ESCAPES[escaped] ?? escaped) : escaped;
      at += 2;
    } else {
      text += character;
      at++;
    }
  }
  throw new RespError("quotes have no end");
}
