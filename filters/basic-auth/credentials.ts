// The `Basic` scheme of `Authorization` (RFC 7617). Pure.

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/u;

/** User and password as strings of bytes; `undefined` where the value is not of the scheme. */
export function parseCredentials(authorization: string | null): Credentials | undefined {
  const match = /^basic +(\S+)$/iu.exec(authorization ?? "");
  const encoded = match?.[1];
  if (encoded === undefined || !BASE64.test(encoded) || encoded.length % 4 === 1) return undefined;
  const decoded = atob(encoded);
  // The first colon ends the user: a user cannot hold one, a password can (RFC 7617 §2).
  const colon = decoded.indexOf(":");
  return colon < 0 ? undefined : { user: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}
