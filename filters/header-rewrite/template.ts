// Header values with attributes in them: `client {source.ip}` with `{{` for a brace. Pure.

/** Attributes that a value may name. */
export const NAMES = [
  ":method",
  ":path",
  ":authority",
  "source.ip",
  "source.principal",
  "route.name",
  "request.id",
] as const;
export type Name = (typeof NAMES)[number];

/** Renders a value; what an exchange does not have is left out. */
export type Template = (read: (name: Name) => string | undefined) => string;

/** A value's template, or what is wrong with it. */
export function compileTemplate(text: string): Template | string {
  if (!/^[\t\x20-\x7e\x80-\xff]*$/u.test(text)) return "holds a character that a header cannot have";
  const parts: (string | { readonly name: Name })[] = [];
  let literal = "";
  for (let index = 0; index < text.length; index++) {
    const character = text[index] ?? "";
    const isDoubled = text[index + 1] === character;
    if (character === "}" && !isDoubled) return `has a "}" without "{"; write "}}" for a brace`;
    if (character !== "{" || isDoubled) {
      literal += character;
      if (character === "{" || character === "}") index++;
      continue;
    }
    const end = text.indexOf("}", index);
    if (end < 0) return `has a "{" without "}"; write "{{" for a brace`;
    const name = NAMES.find((known) => known === text.slice(index + 1, end));
    if (name === undefined) return `names "${text.slice(index + 1, end)}", which is none of ${NAMES.join(", ")}`;
    parts.push(literal, { name });
    literal = "";
    index = end;
  }
  parts.push(literal);
  return (read) => {
    let value = "";
    for (const part of parts) value += typeof part === "string" ? part : (read(part.name) ?? "");
    return value;
  };
}
