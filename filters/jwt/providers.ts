// The providers of one use: their keys, as they are known now, and the tokens that they vouch for.
import { verifySignature, type FilterContext } from "../../sdk/index.ts";
import type { Config, Provider } from "./config.ts";
import { findKeys, parseKeySet, type KeySet } from "./key-set.ts";
import { checkClaims, parseToken, type Token } from "./token.ts";

/** What a token came to. */
export type Verified =
  | { readonly ok: true; readonly provider: Provider; readonly token: Token }
  /** In Envoy's words. */
  | { readonly ok: false; readonly reason: string };

/** What fetching needs of a handler's context. */
type Caller = Pick<FilterContext<Config, unknown, unknown, string>, "fetch" | "log">;

/** Timer ticks, in milliseconds. */
export const TICK_MS = 10_000;
/** Tokens whose signature was found right; checking one again costs up to a hundred times as much as looking it up. */
const KNOWN_MAX = 512;

/** One provider's keys. */
interface Keys {
  readonly provider: Provider;
  set: KeySet;
  /** Ticks until the set is fetched again. */
  ticksLeft: number;
}

export class Providers {
  readonly #byIssuer: ReadonlyMap<string, Keys>;
  readonly #known = new Map<string, Token>();

  constructor(providers: readonly Provider[]) {
    this.#byIssuer = new Map(
      providers.map((provider) => [provider.issuer, { provider, set: provider.jwks ?? [], ticksLeft: 0 }]),
    );
  }

  /** Fetches what is due. Never rejects: a set that cannot be had leaves the keys that are there. */
  async tick(caller: Caller): Promise<void> {
    await Promise.all(Array.from(this.#byIssuer.values(), (keys) => this.#refresh(keys, caller)));
  }

  async #refresh(keys: Keys, { fetch, log }: Caller): Promise<void> {
    const { jwksFrom: from, issuer } = keys.provider;
    if (from === undefined || --keys.ticksLeft > 0) return;
    keys.ticksLeft = 1;
    try {
      const answer = await fetch(from.upstream, from.path, { headers: { accept: "application/json" } });
      const set = answer.ok ? parseKeySet(await answer.text()) : `answer has status ${answer.status}`;
      if (typeof set === "string") throw new Error(set);
      keys.set = set;
      keys.ticksLeft = Math.ceil(from.refresh / TICK_MS);
      // A key that is gone vouches for nothing any more.
      this.#known.clear();
    } catch (error) {
      log.warn("a key set could not be fetched", { issuer, keysKept: keys.set.length, reason: String(error) });
    }
  }

  /** Whether the token is one of its issuer's, good at that time. */
  verify(text: string, nowMs: number): Verified {
    const known = this.#known.get(text);
    const token = known ?? parseToken(text);
    if (token === undefined) return refused("Jwt is not in the form of Header.Payload.Signature");
    const { iss } = token.claims;
    const keys = typeof iss === "string" ? this.#byIssuer.get(iss) : undefined;
    if (keys === undefined) return refused("Jwt issuer is not configured");
    const { provider } = keys;
    const wrong =
      checkClaims(token.claims, provider, nowMs) ?? (known === undefined ? checkSignature(keys, token) : undefined);
    if (wrong !== undefined) return refused(wrong);
    if (known === undefined) this.#remember(text, token);
    return { ok: true, provider, token };
  }

  #remember(text: string, token: Token): void {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= KNOWN_MAX && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(text, token);
  }
}

function checkSignature(keys: Keys, { algorithm: named, kid, signed, signature }: Token): string | undefined {
  // The configuration says which algorithms there are, `none` and `HS256` never among them (RFC 8725 §3.1).
  const algorithm = keys.provider.algorithms.find((one) => one === named);
  if (algorithm === undefined) return "Jwt header [alg] is not supported";
  const candidates = findKeys(keys.set, algorithm, kid);
  if (candidates === undefined) {
    // It may be a new one: the next tick fetches, so that strange names cost one call in ten seconds at most.
    keys.ticksLeft = Math.min(keys.ticksLeft, 1);
    return "Jwks doesn't have key to match kid or alg from Jwt";
  }
  const isRight = candidates.some((key) => isSignedBy(() => verifySignature(algorithm, key, signature, signed)));
  return isRight ? undefined : "Jwt verification fails";
}

/** A key that is none says so by an exception; it has signed nothing. */
function isSignedBy(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}

function refused(reason: string): Verified {
  return { ok: false, reason };
}
