// Known keys by their digests. Comparing takes the same time wherever two digests differ, and only digests are kept.
import { hash, timingSafeEqual } from "../../sdk/index.ts";
import type { Key } from "./config.ts";

/** Finds the key's owner. */
export type FindKey = (presented: string) => Key | undefined;

/** A longer one is nobody's, and is not hashed. */
const KEY_MAX_LENGTH = 1024;

/** Digits of the digest by which a key is looked up. What the time of that tells is of the digest, which nobody can steer. */
const BUCKET_LENGTH = 4;

/** The lookup, or what is wrong with the keys. */
export function compileKeys(keys: readonly Key[]): FindKey | string {
  const buckets = new Map<string, Key[]>();
  for (const key of keys) {
    const bucket = key.sha256.slice(0, BUCKET_LENGTH);
    const others = buckets.get(bucket) ?? [];
    const same = others.find(({ sha256 }) => sha256 === key.sha256);
    if (same !== undefined) return `has the key ${key.sha256} twice, of ${same.client} and of ${key.client}`;
    buckets.set(bucket, [...others, key]);
  }
  return function findKey(presented) {
    if (presented.length > KEY_MAX_LENGTH) return undefined;
    const digest = hash("sha-256", presented).toHex();
    let found: Key | undefined;
    for (const key of buckets.get(digest.slice(0, BUCKET_LENGTH)) ?? [])
      if (timingSafeEqual(key.sha256, digest)) found = key;
    return found;
  };
}
