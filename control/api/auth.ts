// Who may change what is wanted: whoever has the token. Only its hash is kept, and it is shown once.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { ResourceStore } from "../store/store.ts";

const SETTING = "token_sha256";

/** Whether an `authorization` header carries the token. */
export type CheckToken = (authorization: string | undefined) => boolean;

/** The token of this store: `given` replaces it, else the first run makes one. `created` is there only when it was made now. */
export function openToken(
  store: ResourceStore,
  given: string | undefined,
): { check: CheckToken; created: string | undefined } {
  const stored = store.readSetting(SETTING);
  const created =
    given === undefined && stored === undefined ? `vsp_${randomBytes(32).toString("base64url")}` : undefined;
  const token = given ?? created;
  const hash = token === undefined ? (stored ?? "") : hashOf(token);
  if (hash !== stored) store.writeSetting(SETTING, hash);
  return { created, check: checkAgainst(Buffer.from(hash, "hex")) };
}

function checkAgainst(expected: Buffer): CheckToken {
  return function check(authorization) {
    const token = /^Bearer +(\S+)$/iu.exec(authorization ?? "")?.[1];
    if (token === undefined) return false;
    // Hashes have one length, so the comparison takes one time whatever was sent.
    const actual = Buffer.from(hashOf(token), "hex");
    return actual.length === expected.length && timingSafeEqual(actual, expected);
  };
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/iu;

/** Whether a `Host` names this machine. A page that a browser loaded from elsewhere reaches loopback by DNS rebinding, and then names another. */
export function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && LOOPBACK_HOST.test(host);
}

/** Whether an address of a peer or a listener is loopback. */
export function isLoopbackAddress(address: string): boolean {
  return address === "::1" || address === "localhost" || /^(?:::ffff:)?127\./u.test(address);
}
