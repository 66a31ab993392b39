// Text of others on a terminal: what a client sends, or a filter says, must not move the cursor, paint over what stood there
// or end its line and begin another that looks like ours.

/** Characters that a terminal does something for (a tab does no harm), and those that turn the direction of others. */
const ACTIVE = /(?!\t)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** One line of it, with what is not to be seen written as escapes: `\u001b`. */
export function visibleLine(text: string): string {
  return text.replaceAll(ACTIVE, (character) =>
    character === "\n" ? "\\n" : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same of several lines, which stay lines. */
export function visibleLines(text: string): string {
  return text.split("\n").map(visibleLine).join("\n");
}
