// A head as it crossed: one string, searched where a handler asks. Nothing is taken apart that nobody reads, since a
// search costs the interpreter one native call and a parser one for each line.
import type { Lookup } from "../headers.ts";

/** Reads lines `name: value`. The text begins with LF, so that every name follows one. */
export const HEAD_LOOKUP: Lookup<string> = {
  get: (lines, name) => {
    if (name === "set-cookie") {
      const values = HEAD_LOOKUP.getAll(lines, name);
      return values.length === 0 ? undefined : values.join(", ");
    }
    // Sums and not templates: the interpreter makes a method call of a template.
    // oxlint-disable-next-line prefer-template
    const at = lines.indexOf("\n" + name + ": ");
    if (at < 0) return undefined;
    const start = at + name.length + 3;
    return lines.slice(start, lines.indexOf("\n", start));
  },
  getAll: (lines, name) => {
    const prefix = `${name}: `;
    return lines
      .split("\n")
      .filter((line) => line.startsWith(prefix))
      .map((line) => line.slice(prefix.length));
  },
  names: (lines) => lines.split("\n").flatMap((line) => (line === "" ? [] : [line.slice(0, line.indexOf(": ", 1))])),
};
