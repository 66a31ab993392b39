// Values that clients put into a path's query and into cookies. Pure; what is malformed reads as absent.

/** The first value of a query parameter, decoded as forms are (`+` is a space); `undefined` where there is none. */
export function readQuery(path: string, name: string): string | undefined {
  const at = path.indexOf("?");
  if (at < 0) return undefined;
  for (const pair of path.slice(at + 1).split("&")) {
    const equals = pair.indexOf("=");
    if (decode(equals < 0 ? pair : pair.slice(0, equals)) === name)
      return equals < 0 ? "" : decode(pair.slice(equals + 1));
  }
  return undefined;
}

/** The first value of a cookie in a `Cookie` field (RFC 6265 §4.2), without quotes around it; `undefined` where there is none. */
export function readCookie(field: string | null, name: string): string | undefined {
  for (const pair of (field ?? "").split(";")) {
    const equals = pair.indexOf("=");
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    const value = pair.slice(equals + 1).trim();
    return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  }
  return undefined;
}

/** A `Cookie` field without the cookies of a name; empty where no other is left. */
export function dropCookie(field: string, name: string): string {
  return field
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.split("=", 1)[0]?.trim() !== name)
    .join("; ");
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    // A percent sign without two digits, or bytes that are not UTF-8.
    return undefined;
  }
}
