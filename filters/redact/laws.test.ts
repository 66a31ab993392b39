// What holds for every body: nothing outside of what is secret changes, JSON stays JSON, and once is enough.
import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { startClock } from "../../sdk/testing/exchange.ts";
import { surroundingsOf } from "../../sdk/testing/run-filter.ts";
import { redactText, redactWhole } from "./bodies.ts";
import { searchTexts } from "./batches.ts";
import { Config } from "./config.ts";
import { editJson } from "./json-edits.ts";
import { latin1Text } from "./latin1.ts";
import type { Rules } from "./rules.ts";
import { ownPattern, searchText } from "./search.ts";
import { redactingText } from "./text-redactor.ts";

/** The proxy's functions are there. */
beforeAll(() => void surroundingsOf(startClock()));

const CARD = "4111111111111111";
const MASKS = [undefined, "remove", { keepLast: 4 }, { hashKey: "a key that nobody knows" }] as const;
const PATTERNS = ["credit-card", "email", "bearer-token", "us-ssn", "iban"];

function rulesOf(mask: (typeof MASKS)[number], rule: Readonly<Record<string, unknown>>): Rules {
  return Config.parse({ rules: [{ ...rule, ...(mask && { mask }) }] }).rules.response;
}

const rules = fc
  .constantFrom(...MASKS)
  .map((mask) => rulesOf(mask, { names: ["secret"], pointers: ["/a/*", "/b/0/a"], patterns: PATTERNS }));

/** Texts that hold what patterns find, beside what they may be taken for. Secrets stand apart: of two that touch, one may be a part of the other. */
const piece = fc.constantFrom(
  CARD,
  "4111 1111 1111 1111",
  "1 2 3",
  "ada@example.com",
  "Bearer abcdefgh.ijkl",
  "123-45-6789",
  "DE89 3704 0044 0532 0130 00",
  "\\u00e9",
  "é",
  "😀",
  "a@b.cd",
  " ",
  "\n",
  '"',
  "\\",
  "x",
);
const text = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(", "));
const name = fc.constantFrom("secret", "Secret", "s\\u0065cret", "a", "b", "", "ada@example.com", "é");
const space = fc.constantFrom("", " ", "\n\t");
const scalar = fc.oneof(
  fc.constantFrom("1e999", "12345678901234567890", "-0.0", "true", "null", CARD, `${CARD}.0`, '"\\ud83d"', '"\\/"'),
  text.map((content) => JSON.stringify(content)),
  text.map((content) => JSON.stringify(content).replaceAll("é", "\\u00e9").replaceAll("a", "\\u0061")),
);
/** Documents as they are written, with members that are there twice. */
const { document } = fc.letrec<{ document: string }>((tie) => ({
  document: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc
      .tuple(space, fc.array(tie("document"), { maxLength: 4 }))
      .map(([gap, parts]) => `[${gap}${parts.join(`${gap},`)}${gap}]`),
    fc
      .tuple(space, fc.array(fc.tuple(name, tie("document")), { maxLength: 4 }))
      .map(
        ([gap, parts]) =>
          `{${gap}${parts.map(([key, value]) => `"${key}"${gap}:${gap}${value}`).join(`,${gap}`)}${gap}}`,
      ),
  ),
}));

const NOTHING = new Uint8Array();
const bytesOf = (content: string): Uint8Array => new TextEncoder().encode(content);
const textOf = (bytes: Uint8Array): string => new TextDecoder("utf-8", { fatal: true }).decode(bytes);

function redactJson(content: string, of: Rules): string | undefined {
  const redacted = redactWhole(bytesOf(content), "json", of);
  return redacted && textOf(redacted.bytes);
}

describe("a document", () => {
  test("is JSON still, and is redacted once by being redacted twice", () => {
    fc.assert(
      fc.property(document, rules, (given, of) => {
        const once = redactJson(given, of) ?? "";
        JSON.parse(once);
        expect(redactJson(once, of)).toBe(once);
      }),
      { numRuns: 2000 },
    );
  });

  test("has no secret left that its names lead to", () => {
    fc.assert(
      fc.property(document, (given) => {
        const names: string[] = [];
        JSON.parse(redactJson(given, rulesOf("remove", { names: ["secret"] })) ?? "", (key, value: unknown) => {
          names.push(key.toLowerCase());
          return value;
        });
        expect(names).not.toContain("secret");
      }),
      { numRuns: 1000 },
    );
  });

  test("keeps every byte outside of the edits, which are in order and apart", () => {
    fc.assert(
      fc.property(document, rules, (given, of) => {
        const bytes = bytesOf(given);
        const source = latin1Text(bytes);
        const edits = editJson(source, of) ?? [];
        let rest = latin1Text(redactWhole(bytes, "json", of)?.bytes ?? new Uint8Array());
        let from = 0;
        for (const { start, end, text: masked } of edits) {
          expect(start).toBeGreaterThanOrEqual(from);
          expect(end).toBeGreaterThan(start);
          const before = source.slice(from, start) + latin1Text(bytesOf(masked));
          expect(rest.startsWith(before)).toBe(true);
          rest = rest.slice(before.length);
          from = end;
        }
        expect(rest).toBe(source.slice(from));
      }),
      { numRuns: 1000 },
    );
  });

  test("is taken for JSON exactly where JSON.parse takes it", () => {
    const broken = fc
      .tuple(document, fc.nat(), fc.constantFrom("", ",", "}", '"', "\\", "0", "\u0001", "e"), fc.boolean())
      .map(
        ([given, at, change, cuts]) =>
          given.slice(0, at % (given.length + 1)) + change + given.slice((at % (given.length + 1)) + Number(cuts)),
      );
    const none = rulesOf(undefined, { names: ["none"] });
    fc.assert(
      fc.property(broken, (given) => {
        expect(redactJson(given.toWellFormed(), none) !== undefined).toBe(isJson(given.toWellFormed()));
      }),
      { numRuns: 3000 },
    );
  });
});

function isJson(content: string): boolean {
  try {
    JSON.parse(content);
    return true;
  } catch {
    // Not JSON.
    return false;
  }
}

describe("a text", () => {
  const of = rulesOf({ keepLast: 4 }, { patterns: PATTERNS });
  const long = fc
    .tuple(fc.array(piece, { maxLength: 400 }), fc.constantFrom("", "x".repeat(9000)))
    .map(([parts, more]) => parts.join(" ") + more + parts.join(","));

  test("becomes the same in pieces as whole", () => {
    fc.assert(
      fc.property(long, fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 }), (given, sizes) => {
        const bytes = bytesOf(given);
        const redactor = redactingText(of.patterns, { isEvents: false, found: () => undefined });
        const pieces: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          pieces.push(redactor.chunk(bytes.slice(at, at + size)));
          at += size;
        }
        pieces.push(redactor.end());
        expect(Buffer.concat(pieces).toString()).toBe(textOf(redactText(bytes, of).bytes));
      }),
      { numRuns: 200 },
    );
  });

  test("keeps bytes that are no text, and is redacted once by being redacted twice", () => {
    const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => bytes.filter((byte) => byte < 0x20 || byte > 0x7f));
    const ascii = text.filter((content) => /^[\0-\x7f]*$/u.test(content));
    fc.assert(
      fc.property(noise, ascii, noise, (before, content, after) => {
        const around = (middle: Uint8Array): Uint8Array =>
          new Uint8Array([...before, ...bytesOf(" "), ...middle, ...bytesOf(" "), ...after]);
        const once = redactText(around(bytesOf(content)), of).bytes;
        expect(once).toEqual(around(redactText(bytesOf(content), of).bytes));
        expect(redactText(once, of).bytes).toEqual(once);
      }),
      { numRuns: 500 },
    );
  });
});

describe("texts that are searched together", () => {
  const atom = fc.constantFrom("a", "b", "[^a]", "\\s", "\\b", "^", "$", ".", "(?:ab|b)", "\\B");
  const source = fc
    .array(fc.tuple(atom, fc.constantFrom("", "*", "+", "?", "{2}")), { minLength: 1, maxLength: 4 })
    .map((parts) => parts.map(([what, times]) => (/^(?:[\^$]|\\b)$/iu.test(what) ? what : what + times)).join(""));
  const flags = fc.constantFrom("", "i", "m", "s");
  const texts = fc.array(fc.stringMatching(/^[ab \n]{0,8}$/u), { maxLength: 12 });

  test("show what each of them shows by itself", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(source, flags), { minLength: 1, maxLength: 2 }), texts, (given, all) => {
        const patterns = given.map(([regex, flag]) => ownPattern(regex, flag, { kind: "text", text: "-" }));
        expect(searchTexts(patterns, all)).toEqual(all.map((one) => searchText(patterns, one)));
      }),
      { numRuns: 1500 },
    );
  });
});

function redactForm(given: string, of: Rules): string {
  return textOf(redactWhole(bytesOf(given), "form", of)?.bytes ?? NOTHING);
}

describe("a form", () => {
  const field = fc.tuple(fc.constantFrom("secret", "a", "", "SECRET"), text);
  const fields = fc.array(field, { minLength: 1, maxLength: 6 });

  test("keeps its other fields, in order and as they were written, and is redacted once by being redacted twice", () => {
    fc.assert(
      fc.property(fields, rules, (given, of) => {
        const written = given.map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
        const once = redactForm(written.join("&"), of);
        expect(redactForm(once, of)).toBe(once);
        const removed = redactForm(written.join("&"), rulesOf("remove", { names: ["secret"] }));
        expect(removed).toBe(written.filter((_, at) => given[at]?.[0].toLowerCase() !== "secret").join("&"));
      }),
      { numRuns: 500 },
    );
  });
});
