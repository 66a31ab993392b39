// The names in a certificate that a peer has shown, and whether they are the ones wanted. Only the subject alternative names
// count (RFC 9525 §6.1): a common name is free text.
import { isIP } from "node:net";

/** One name: `DNS`, `URI`, `IP Address` and others, and its value. */
export interface AltName {
  readonly kind: string;
  readonly value: string;
}

/**
 * Reads OpenSSL's text of the names. A value that holds what separates values is a JSON string there, so that a certificate
 * cannot make up names of its own (CVE-2021-44532).
 */
export function parseAltNames(text: string): readonly AltName[] {
  const names: AltName[] = [];
  const entry = /([A-Za-z0-9 ]+):(?:("(?:[^"\\]|\\.)*")|([^,"]*))(?:, |$)/uy;
  while (entry.lastIndex < text.length) {
    const [, kind, quoted, plain = ""] = entry.exec(text) ?? [];
    // A text of another form names nobody: skipping ahead could land inside a value.
    if (kind === undefined) return [];
    names.push({ kind, value: quoted === undefined ? plain : unquote(quoted) });
  }
  return names;
}

function unquote(quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch {
    // Nobody's name.
    return "";
  }
}

/** The SPIFFE identity, without `spiffe://`: exactly one URI (SPIFFE X.509-SVID §2), else empty. */
export function principalOf(names: readonly AltName[]): string {
  const uris = names.filter(({ kind }) => kind === "URI");
  const [uri] = uris;
  return uris.length === 1 && uri?.value.startsWith("spiffe://") === true ? uri.value.slice("spiffe://".length) : "";
}

/** Whether one of the names is one of those wanted. Wildcards count in the certificate, for one label (RFC 9525 §6.3). */
export function hasName(names: readonly AltName[], wanted: readonly string[]): boolean {
  return wanted.some((want) => names.some((name) => isName(name, want)));
}

function isName({ kind, value }: AltName, want: string): boolean {
  if (kind === "URI") return value === want;
  if (isIP(want) > 0) return kind === "IP Address" && value.toLowerCase() === want.toLowerCase();
  return kind === "DNS" && matchesHost(value.toLowerCase(), want.toLowerCase());
}

/** Whether a name of a certificate, `*.` ones included, is that host's. */
export function matchesHost(pattern: string, host: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === host;
  const dot = host.indexOf(".");
  return dot > 0 && host.slice(dot) === pattern.slice(1) && pattern.indexOf(".", 2) > 0;
}
