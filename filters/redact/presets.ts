// Secrets that are known by their form: a pattern finds what may be one, and a check digit or a range tells.
import type { TextSpan } from "../../sdk/index.ts";

/** A form of secrets. */
export interface Preset {
  readonly source: string;
  readonly flags: string;
  /** What every text with such a secret has: most texts are told apart by it, without asking the proxy. */
  readonly hint: RegExp;
  /** Secrets inside of what the pattern found. Default: all of it. */
  readonly pick?: (run: string) => readonly TextSpan[];
}

export const PRESET_NAMES = ["credit-card", "email", "bearer-token", "us-ssn", "iban"] as const;
export type PresetName = (typeof PRESET_NAMES)[number];

/** Groups that a card's or an account's number is written in, at most; those of a card's have three digits and more. */
const GROUPS_MAX = 9;

export const PRESETS: Readonly<Record<PresetName, Preset>> = {
  "credit-card": {
    source: String.raw`\b\d{3,}(?:[ -]\d{3,})*\b`,
    flags: "",
    hint: /\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d/u,
    pick: (run) => pickGroups(run, /[ -]/u, { minLength: 13, maxLength: 19, isOne: isCard }),
  },
  email: {
    source: String.raw`[\p{L}\p{N}_][\p{L}\p{N}._%+'-]*@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+`,
    flags: "",
    hint: /@/u,
  },
  "bearer-token": {
    source: String.raw`\bbearer[ \t]+[\w.~+/=-]{8,}`,
    flags: "i",
    hint: /bearer[ \t]/iu,
  },
  "us-ssn": {
    source: String.raw`\b\d{3}-\d{2}-\d{4}\b`,
    flags: "",
    hint: /\d-\d\d-\d/u,
    pick: (run) => (isSocialSecurityNumber(run) ? [{ start: 0, end: run.length }] : []),
  },
  iban: {
    source: String.raw`\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]+)*\b`,
    flags: "",
    hint: /[A-Z]{2}\d\d[ A-Z0-9]/u,
    pick: (run) => pickGroups(run, / /u, { minLength: 15, maxLength: 34, isOne: isIban }),
  },
};

/** A number that is written in groups. */
interface Grouped {
  readonly minLength: number;
  readonly maxLength: number;
  /** By its characters without separators. */
  readonly isOne: (text: string) => boolean;
}

/** Numbers among groups: what stands around one (`order 12 4111…`) reads as more of it. The longest of a place counts. */
function pickGroups(run: string, separator: RegExp, { minLength, maxLength, isOne }: Grouped): readonly TextSpan[] {
  const groups = run.split(separator);
  const spans: TextSpan[] = [];
  let start = 0;
  for (let first = 0; first < groups.length; first++) {
    let text = "";
    let end = start - 1;
    let found: number | undefined;
    for (let last = first; last < Math.min(groups.length, first + GROUPS_MAX); last++) {
      const group = groups[last] ?? "";
      text += group;
      end += group.length + 1;
      if (text.length > maxLength) break;
      if (text.length >= minLength && isOne(text)) found = end;
    }
    const [group = ""] = groups.slice(first, first + 1);
    if (found === undefined) {
      start += group.length + 1;
      continue;
    }
    spans.push({ start, end: found });
    // On behind it.
    first += run.slice(start, found).split(separator).length - 1;
    start = found + 1;
  }
  return spans;
}

/** Of a scheme's range (ISO/IEC 7812 §4.2; times in milliseconds begin with 1), and its check digit right (annex B). */
function isCard(digits: string): boolean {
  if (!/^[2-6]/u.test(digits)) return false;
  let sum = 0;
  for (let at = 0; at < digits.length; at++) {
    const digit = digits.charCodeAt(digits.length - 1 - at) - 48;
    const doubled = digit * 2;
    sum += at % 2 === 0 ? digit : doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** Check digits right (ISO 13616: modulo 97 of the number with its first four behind, letters as numbers). */
function isIban(text: string): boolean {
  if (!/^[A-Z]{2}\d\d[A-Z0-9]+$/u.test(text)) return false;
  let rest = 0;
  for (const character of text.slice(4) + text.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest === 1;
}

/** Numbers that were given out: no area 000, 666 or 9xx, no group 00, no serial 0000. */
function isSocialSecurityNumber(text: string): boolean {
  return !/^(?:000|666|9)|-00-|0000$/u.test(text);
}
