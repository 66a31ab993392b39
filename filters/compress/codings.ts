// What a client accepts (RFC 9110 §12.5.3), and what of it is chosen. Pure.

/** Codings that bodies can be put into. */
export const CODINGS = ["zstd", "br", "gzip"] as const;
export type Coding = (typeof CODINGS)[number];

/** The coding that the client likes most, of those liked alike the first that is offered; `undefined` for none. */
export function pickCoding(acceptEncoding: string | null, offered: readonly Coding[]): Coding | undefined {
  if (acceptEncoding === null) return undefined;
  const weights = parseWeights(acceptEncoding);
  let picked: Coding | undefined;
  let best = 0;
  for (const coding of offered) {
    const weight = weights.get(coding) ?? weights.get("*") ?? 0;
    if (weight > best) [picked, best] = [coding, weight];
  }
  return picked;
}

/** Weights by coding; one that is not by the grammar is no wish. */
function parseWeights(text: string): ReadonlyMap<string, number> {
  const weights = new Map<string, number>();
  for (const item of text.split(",")) {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    const given = parameters.find((parameter) => /^q\s*=/u.test(parameter));
    const weight = given === undefined ? 1 : Number(/^q\s*=\s*([01](?:\.\d{0,3})?)$/u.exec(given)?.[1] ?? 0);
    if (name !== "") weights.set(name === "x-gzip" ? "gzip" : name, Math.min(1, weight));
  }
  return weights;
}
