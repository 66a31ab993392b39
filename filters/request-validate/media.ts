// Media types: which of those that are described a message's is.

/** How a body of that type is checked: JSON and forms by their schemas, others by their type alone. */
export type MediaKind = "json" | "form" | "other";

/** `type/subtype` in lower case; `undefined` for what is none, or several. */
export function parseMedia(contentType: string | null): string | undefined {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return /^[!#$&\-^_.+\w]+\/[!#$&\-^_.+\w]+$/u.test(type) && contentType?.includes(",") === false ? type : undefined;
}

export function kindOf(type: string): MediaKind {
  if (/^(?:application|text)\/json$|\+json$/u.test(type)) return "json";
  return type === "application/x-www-form-urlencoded" ? "form" : "other";
}

/** Of described types and ranges the one that is told most exactly. */
export function pickMedia<Value>(described: ReadonlyMap<string, Value>, type: string): Value | undefined {
  return described.get(type) ?? described.get(`${type.split("/", 1)[0] ?? ""}/*`) ?? described.get("*/*");
}
