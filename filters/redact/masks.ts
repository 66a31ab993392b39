// What stands in a secret's place. A mask of a mask is the same mask, so that a body may pass two proxies.
import { hmac } from "../../sdk/index.ts";

/** What becomes of a secret. */
export type Mask =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "remove" }
  /** Equal values stay equal, and nobody without the key tells which they were. */
  | { readonly kind: "hash"; readonly key: string }
  /** As long as before; nothing of a value that is shorter than twice what is kept. */
  | { readonly kind: "keep_last"; readonly count: number };

/** Text of a secret that is no text, of an object say. */
const HIDDEN = "****";
const HASH_LABEL = "hmac:";
/** 16 bytes that tell values apart, and 8 that tell this filter its own. */
const HASH = /^hmac:([a-p]{32})([a-p]{16})$/u;
const NIBBLES = "abcdefghijklmnop";

/** What stands in a value's place; empty where it is removed. */
export function maskText(mask: Mask, value: string): string {
  switch (mask.kind) {
    case "text":
      return mask.text;
    case "remove":
      return "";
    case "hash":
      return isOwnHash(mask.key, value) ? value : hashOf(mask.key, value);
    case "keep_last":
      return keepLast(value, mask.count);
  }
}

/** What stands in the place of an object or a list, given as it was written. */
export function maskStructure(mask: Mask, raw: string): string {
  return mask.kind === "keep_last" ? HIDDEN : maskText(mask, raw);
}

function keepLast(value: string, count: number): string {
  let kept = value.length < count * 2 ? 0 : count;
  // Not half of a character.
  if (kept > 0 && isLowSurrogate(value.charCodeAt(value.length - kept))) kept--;
  return "*".repeat(value.length - kept) + value.slice(value.length - kept);
}

function hashOf(key: string, value: string): string {
  const tag = letters(hmac("sha-256", key, value).subarray(0, 16));
  return HASH_LABEL + tag + sealOf(key, tag);
}

/** A value that looks like a hash and was not made with this key is a secret like any other. */
function isOwnHash(key: string, value: string): boolean {
  const [, tag = "", seal] = HASH.exec(value) ?? [];
  return seal !== undefined && sealOf(key, tag) === seal;
}

function sealOf(key: string, tag: string): string {
  return letters(hmac("sha-256", key, HASH_LABEL + tag).subarray(0, 8));
}

/** Letters alone: no pattern for numbers finds anything in them. */
function letters(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += NIBBLES.charAt(byte >> 4) + NIBBLES.charAt(byte & 15);
  return text;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
