// One spelling for each path, before anything decides by it: a policy for `/admin` must see `/a/../admin`, `/%61dmin` and
// `//admin` where the application would take them for the same. What is compared is what is sent on. Modes and results are
// Istio's (Envoy's normalize_path, merge_slashes and path_with_escaped_slashes_action), compared with the real one's in
// normalize.test.ts, which also says where we are stricter.
import type { PathNormalization } from "../contract/listener.ts";

const SLASH = 47;
const DOT = 46;
const QUESTION = 63;
const PERCENT = 37;

/** Characters that no mode leaves as they are: an escape, a backslash, and those that RFC 3986 §2 wants escaped. */
const SPECIAL = new Uint8Array(128);
for (const character of '%\\"<>^`{|}') SPECIAL[character.charCodeAt(0)] = 1;

/**
 * The path of a request target, query included, as `mode` spells it; `undefined` where it must be refused (it holds
 * `%00`). A path that is spelled so already is returned as it is, after one look at each character. What does not start
 * with a slash (`*`) is no path and stays.
 */
export function normalizePath(path: string, mode: PathNormalization): string | undefined {
  if (mode === "NONE" || path.charCodeAt(0) !== SLASH) return path;
  return isNormal(path, mode !== "BASE") ? path : rewrite(path, mode);
}

function isNormal(path: string, mergesSlashes: boolean): boolean {
  let before = 0;
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code === QUESTION) return true;
    if (SPECIAL[code] === 1) return false;
    // A segment that starts with a dot may be `.` or `..`: rare enough to be looked at again.
    if (before === SLASH && (code === DOT || (code === SLASH && mergesSlashes))) return false;
    before = code;
  }
  return true;
}

/** In Istio's order: escaped slashes, then RFC 3986, then runs of slashes. */
function rewrite(target: string, mode: PathNormalization): string | undefined {
  const question = target.indexOf("?");
  let path = question < 0 ? target : target.slice(0, question);
  if (mode === "DECODE_AND_MERGE_SLASHES") path = path.replace(/%2f/giu, "/").replace(/%5c/giu, "\\");
  const unescaped = unescape(path);
  if (unescaped === undefined) return undefined;
  path = removeDotSegments(unescaped);
  if (mode !== "BASE") path = path.replace(/\/{2,}/gu, "/");
  return question < 0 ? path : path + target.slice(question);
}

/**
 * RFC 3986 §6.2.2.2: what needs no escape has none, and what needs one has it; backslashes become slashes. One pass, and
 * none of what it writes is an escape that was not there: a stray `%` that would become one is written `%25`.
 */
function unescape(path: string): string | undefined {
  let out = "";
  let stray = -1;
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code !== PERCENT) {
      out += SPECIAL[code] === 1 ? escapeOf(code) : path.charAt(at);
    } else {
      const value = hexPair(path, at + 1);
      if (value === 0) return undefined;
      if (value < 0) {
        stray = out.length;
        out += "%";
        continue;
      }
      out += isUnreserved(value) ? String.fromCharCode(value) : path.slice(at, at + 3);
      at += 2;
    }
    // `%%32f`: the escape in it becomes `2`, and the three would be read as `%2f` by the next one who looks.
    if (stray >= 0 && out.length === stray + 3 && hexPair(out, stray + 1) >= 0)
      out = `${out.slice(0, stray)}%25${out.slice(stray + 1)}`;
  }
  return out;
}

function escapeOf(code: number): string {
  return code === 92 ? "/" : `%${code.toString(16).toUpperCase()}`;
}

/** RFC 3986 §5.2.4. Parameters (`..;x`) change nothing about what a segment of dots is: Tomcat drops them, and so does Envoy. */
function removeDotSegments(path: string): string {
  const segments = path.split("/");
  const last = segments.length - 1;
  const kept: string[] = [];
  for (let index = 1; index <= last; index++) {
    const segment = segments[index] ?? "";
    const semicolon = segment.indexOf(";");
    const name = semicolon < 0 ? segment : segment.slice(0, semicolon);
    if (name !== "." && name !== "..") {
      kept.push(segment);
      continue;
    }
    if (name === "..") kept.pop();
    // `/a/.` is the folder: it keeps its slash.
    if (index === last) kept.push("");
  }
  return `/${kept.join("/")}`;
}

/** The value of two hexadecimal digits; -1 where they are not there. */
function hexPair(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at));
  const low = hexDigit(text.charCodeAt(at + 1));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** -1 for what is none, NaN (beyond the end) included. */
function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** RFC 3986 §2.3: letters, digits and `-._~`. */
function isUnreserved(code: number): boolean {
  if ((code >= 48 && code <= 57) || code === 45 || code === DOT || code === 95 || code === 126) return true;
  const lower = code | 0x20;
  return lower >= 97 && lower <= 122 && code < 128;
}
