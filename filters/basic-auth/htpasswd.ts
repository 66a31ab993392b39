// htpasswd files and the two hashes of theirs that run anywhere: `{SHA}` (base64 of SHA-1) and `$apr1$` (Apache's MD5).
// Passwords are strings of bytes, each a character U+0000 to U+00FF, as base64 decodes them. Pure.
import { md5, sha1 } from "./digests.ts";

/** Checks a password; by user. */
export type Users = ReadonlyMap<string, (password: string) => boolean>;

const APR1 = /^\$apr1\$([^$]{1,8})\$([./0-9A-Za-z]{22})$/u;
const SHA1 = /^\{SHA\}([A-Za-z0-9+/]{27}=)$/u;

/** The users of a file, or what is wrong with its lines. Empty lines and lines that begin with `#` are skipped. */
export function parseHtpasswd(
  text: string,
): { readonly ok: true; readonly users: Users } | { readonly ok: false; readonly messages: readonly string[] } {
  const users = new Map<string, (password: string) => boolean>();
  const messages: string[] = [];
  text.split(/\r?\n/u).forEach((line, index) => {
    if (line.trim() === "" || line.startsWith("#")) return;
    const colon = line.indexOf(":");
    const user = line.slice(0, colon);
    const check = compileHash(line.slice(colon + 1).trim());
    if (colon < 1) messages.push(`line ${index + 1} is not "user:hash"`);
    else if (users.has(user)) messages.push(`line ${index + 1} names user ${JSON.stringify(user)} a second time`);
    else if (check === undefined) {
      messages.push(
        `line ${index + 1} has a hash that is neither {SHA} nor $apr1$; write it with "htpasswd -s" or "htpasswd -m"`,
      );
    } else users.set(user, check);
  });
  return messages.length === 0 ? { ok: true, users } : { ok: false, messages };
}

function compileHash(hash: string): ((password: string) => boolean) | undefined {
  const digest = SHA1.exec(hash)?.[1];
  if (digest !== undefined) return (password) => isSame(btoa(sha1(password)), digest);
  const [, salt, expected] = APR1.exec(hash) ?? [];
  return salt === undefined || expected === undefined
    ? undefined
    : (password) => isSame(apr1(password, salt), expected);
}

/** Compares in a time that tells nothing about where two texts differ. */
export function isSame(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let index = 0; index < b.length; index++)
    difference |= a.charCodeAt(index % (a.length || 1)) ^ b.charCodeAt(index);
  return difference === 0;
}

/** Apache's variant of MD5-crypt: a thousand rounds, so that guessing costs. */
export function apr1(password: string, salt: string): string {
  const inner = md5(password + salt + password);
  let text = `${password}$apr1$${salt}`;
  for (let left = password.length; left > 0; left -= 16) text += inner.slice(0, Math.min(16, left));
  for (let bits = password.length; bits > 0; bits >>= 1) text += (bits & 1) === 1 ? "\0" : password.slice(0, 1);
  let digest = md5(text);
  for (let round = 0; round < 1000; round++) {
    let next = (round & 1) === 1 ? password : digest;
    if (round % 3 !== 0) next += salt;
    if (round % 7 !== 0) next += password;
    digest = md5(next + ((round & 1) === 1 ? digest : password));
  }
  return renderApr1(digest);
}

const ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Apache's order of the digest's bytes, three to four characters. */
const GROUPS: readonly (readonly [number, number, number])[] = [
  [0, 6, 12],
  [1, 7, 13],
  [2, 8, 14],
  [3, 9, 15],
  [4, 10, 5],
];

function base64(value: number, length: number): string {
  return Array.from({ length }, (_, index) => ALPHABET[(value >> (index * 6)) & 63]).join("");
}

function renderApr1(digest: string): string {
  const at = (index: number) => digest.charCodeAt(index);
  const groups = GROUPS.map(([a, b, c]) => base64((at(a) << 16) | (at(b) << 8) | at(c), 4));
  return groups.join("") + base64(at(11), 2);
}
