// JSON Web Tokens as signatures (RFC 7515, 7519; RFC 8725 for what not to fall for): taken apart, their claims checked. Pure.

/** A token taken apart; nothing of it is believed yet. */
export interface Token {
  readonly algorithm: string;
  readonly kid: string | undefined;
  readonly claims: Claims;
  /** The claims as they were encoded. */
  readonly payload: string;
  /** What was signed. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

export type Claims = Readonly<Record<string, unknown>>;

const SEGMENT = /^[A-Za-z0-9_-]+$/u;

/** The token, or `undefined` where it is none of the compact form, with a key named in any way but by `kid`, or with conditions. */
export function parseToken(text: string): Token | undefined {
  const segments = text.split(".");
  const [head = "", payload = "", tail = ""] = segments;
  if (segments.length !== 3) return undefined;
  const header = decodeObject(head);
  const claims = decodeObject(payload);
  const signature = decodeBytes(tail);
  if (header === undefined || claims === undefined || signature === undefined) return undefined;
  const { alg, kid, crit, b64 } = header;
  // `crit` names what must be understood, and nothing of that kind is (RFC 7515 §4.1.11).
  if (typeof alg !== "string" || crit !== undefined || b64 !== undefined) return undefined;
  if (kid !== undefined && typeof kid !== "string") return undefined;
  return { algorithm: alg, kid, claims, payload, signed: `${head}.${payload}`, signature };
}

/** What is wrong with the claims at that time, in Envoy's words; `undefined` where nothing is. */
export function checkClaims(
  { exp, nbf, aud }: Claims,
  { audiences, leeway }: { readonly audiences: readonly string[]; readonly leeway: number },
  nowMs: number,
): string | undefined {
  if (exp !== undefined && !(typeof exp === "number" && nowMs < exp * 1000 + leeway)) return "Jwt is expired";
  if (nbf !== undefined && !(typeof nbf === "number" && nowMs >= nbf * 1000 - leeway)) return "Jwt not yet valid";
  if (audiences.length === 0) return undefined;
  const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return named.some((one) => typeof one === "string" && audiences.includes(one))
    ? undefined
    : "Audiences in Jwt are not allowed";
}

/** A claim by name; of `a.b`, claim b inside of a where there is none of the whole name. */
export function readClaim(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  const dot = name.indexOf(".");
  const inner = dot < 0 || !Object.hasOwn(claims, name.slice(0, dot)) ? undefined : claims[name.slice(0, dot)];
  return isObject(inner) ? readClaim(inner, name.slice(dot + 1)) : undefined;
}

/** Claims whose value is a list of words. */
const WORDS = new Set(["scope", "permission"]);

/** Whether a claim is, or holds, one of the values. */
export function holdsOneOf(claims: Claims, name: string, values: readonly string[]): boolean {
  const claim = readClaim(claims, name);
  const held: readonly unknown[] = Array.isArray(claim)
    ? claim
    : WORDS.has(name) && typeof claim === "string"
      ? claim.split(" ")
      : [claim];
  return held.some(
    (one) =>
      (typeof one === "string" || typeof one === "number" || typeof one === "boolean") && values.includes(String(one)),
  );
}

/** A claim as a header has it: text as UTF-8, lists and objects as base64url of JSON. `undefined` where it cannot be one. */
export function renderClaim(claim: unknown): string | undefined {
  if (claim === undefined || claim === null) return undefined;
  const isPlain = typeof claim === "string" || typeof claim === "number" || typeof claim === "boolean";
  const bytes = encodeLatin1(isPlain ? String(claim) : JSON.stringify(claim));
  if (!isPlain) return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  // A line break would end the header, and begin another.
  return /^[\t\x20-\x7e\x80-\xff]*$/u.test(bytes) ? bytes.trim() : undefined;
}

/** UTF-8, each byte one character, as header values are. */
function encodeLatin1(text: string): string {
  if (!/[^\t-~]/u.test(text)) return text;
  let latin1 = "";
  for (const byte of new TextEncoder().encode(text)) latin1 += String.fromCharCode(byte);
  return latin1;
}

function decodeObject(segment: string): Claims | undefined {
  const bytes = decodeBytes(segment);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    // Neither UTF-8 nor JSON: somebody else's token, or nobody's.
    return undefined;
  }
}

function decodeBytes(segment: string): Uint8Array | undefined {
  if (!SEGMENT.test(segment) || segment.length % 4 === 1) return undefined;
  const text = atob(segment.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

function isObject(value: unknown): value is Claims {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
