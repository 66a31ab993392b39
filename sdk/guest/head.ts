// A head as it crossed: one string, searched where a handler asks. Nothing is taken apart that nobody reads, since a
// search costs the interpreter one native call and a parser one for each line.
import type { FieldSource } from "../headers.ts";

/** Fields and attributes of one head, as lines `name: value`. */
export class HeadSource implements FieldSource {
  /** Begins with LF, so that every name follows one. */
  readonly #lines: string;

  constructor(lines: string) {
    this.#lines = `\n${lines}`;
  }

  get(name: string): string | undefined {
    if (name === "set-cookie") {
      const values = this.getAll(name);
      return values.length === 0 ? undefined : values.join(", ");
    }
    const at = this.#lines.indexOf(`\n${name}: `);
    if (at < 0) return undefined;
    const start = at + name.length + 3;
    return this.#lines.slice(start, this.#lines.indexOf("\n", start));
  }

  getAll(name: string): readonly string[] {
    const prefix = `${name}: `;
    return this.#lines
      .split("\n")
      .filter((line) => line.startsWith(prefix))
      .map((line) => line.slice(prefix.length));
  }
}
