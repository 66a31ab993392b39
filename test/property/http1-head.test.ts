// The head parser against every way of cutting a head into pieces, and against a slow reader that follows RFC 9112 by the letter.
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { HeadParser, INCOMPLETE, REFUSED, TOO_LARGE } from "../../runtime/codec/http1-grammar.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";

const LIMITS = { headMaxBytes: 4096, headersMax: 20 };
const RUNS = { numRuns: 10_000 };

/** Small on purpose: the characters that parsers disagree on, and few others, so that they meet. */
const bite = fc.constantFrom(
  "\r",
  "\n",
  "\r\n",
  "\r\n\r\n",
  " ",
  "\t",
  ":",
  ",",
  "\0",
  "\u000B",
  "\u00FF",
  "a",
  "0",
  "4",
  "GET ",
  "/",
  " HTTP/1.1\r\n",
  " HTTP/1.0\r\n",
  "Host: a\r\n",
  "host:",
  "Content-Length: 4\r\n",
  "content-length:",
  "Transfer-Encoding: chunked\r\n",
  "transfer-encoding:",
  "chunked",
  "Connection: close\r\n",
);
const mangled = fc.array(bite, { maxLength: 14 }).map((parts) => parts.join(""));
const nearlyGood = fc
  .array(bite, { maxLength: 6 })
  .map((parts) => `GET / HTTP/1.1\r\nHost: a\r\n${parts.join("")}\r\n\r\n`);

interface Read {
  readonly position: number;
  readonly contentLength: number;
  readonly isChunked: boolean;
  readonly fields: readonly (readonly [string, string])[];
}

function parse(text: string): Read {
  const bytes = Buffer.from(text, "latin1");
  const parser = new HeadParser();
  const position = parser.parseRequest(bytes, 0, LIMITS);
  const map = new HeaderMap();
  map.load(bytes, parser.offsets, parser.marks, position < 0 ? 0 : parser.count);
  return { position, contentLength: parser.contentLength, isChunked: parser.isChunked, fields: [...map] };
}

/** By the letter: `undefined` where the text does not start with a request head that can be framed with certainty. */
function readSlowly(text: string): Pick<Read, "position" | "contentLength" | "isChunked"> | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [line = "", ...fields] = text.slice(0, end).split("\r\n");
  const version = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21\x22\x24-\x7E]+ HTTP\/1\.([01])$/u.exec(line)?.[1];
  if (version === undefined) return undefined;
  const values = new Map<string, string[]>();
  for (const field of fields) {
    const [, name, value = ""] =
      /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7E\x80-\xFF]*?)[ \t]*$/u.exec(field) ?? [];
    if (name === undefined) return undefined;
    const key = name.toLowerCase();
    // Stricter than the letter: the line goes on as it came, and Node takes white space after the digits for an error.
    if (key === "content-length" && /[ \t]$/u.test(field)) return undefined;
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  const lengths = values.get("content-length") ?? [];
  const encodings = values.get("transfer-encoding") ?? [];
  const hosts = values.get("host") ?? [];
  if (lengths.length + encodings.length > 1) return undefined;
  if (lengths.some((value) => !/^\d{1,15}$/u.test(value))) return undefined;
  if (encodings.some((value) => value.toLowerCase() !== "chunked")) return undefined;
  if (encodings.length > 0 && version === "0") return undefined;
  if (hosts.length > 1 || (hosts.length === 0 && version === "1")) return undefined;
  if (hosts.some((value) => !/^[\w\-.~!$&'()*+,;=%]*(?::\d{0,5})?$/u.test(value))) return undefined;
  const contentLength = lengths[0] === undefined ? -1 : Number(lengths[0]);
  return { position: end + 4, contentLength, isChunked: encodings.length > 0 };
}

describe("any bytes", () => {
  test("are accepted exactly when the slow reader accepts them, and framed alike", () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(mangled, nearlyGood), (text) => {
        const read = parse(text);
        const expected = readSlowly(text);
        if (expected !== undefined) accepted++;
        if (expected === undefined) expect(read.position).toBeLessThan(0);
        else expect(read).toMatchObject(expected);
      }),
      RUNS,
    );
    // The property says something only where both kinds come up.
    expect(accepted).toBeGreaterThan(RUNS.numRuns / 50);
  });

  test("give the same answer however they are cut", () => {
    fc.assert(
      fc.property(fc.oneof(mangled, nearlyGood), fc.nat(200), (text, cut) => {
        const whole = parse(text).position;
        const part = parse(text.slice(0, cut)).position;
        // A part may only be undecided, or decided as the whole is.
        expect([INCOMPLETE, whole]).toContain(part);
        if (whole > 0 && cut < whole) expect(part).toBe(INCOMPLETE);
      }),
      RUNS,
    );
  });

  test("never throw, and never read beyond what is there", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const { position } = parse(Buffer.from(bytes).toString("latin1"));
        const isKnown =
          [INCOMPLETE, REFUSED, TOO_LARGE].includes(position) || (position > 0 && position <= bytes.length);
        expect(isKnown).toBe(true);
      }),
      RUNS,
    );
  });
});

test("fields come out as they went in: order, case and values", () => {
  const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,12}$/u).map((text) => `X-${text}`);
  const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/u);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 19 }), (fields) => {
      const lines = fields.map(([key, text]) => `${key}: ${text}\r\n`).join("");
      const read = parse(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`);
      expect(read.fields).toEqual([["Host", "a"], ...fields]);
    }),
    RUNS,
  );
});

describe("limits", () => {
  test.each([
    ["one byte too many", `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(4096 - 31)}\r\n\r\n`, TOO_LARGE],
    ["one field too many", `GET / HTTP/1.1\r\nHost: a\r\n${"X: x\r\n".repeat(20)}\r\n`, TOO_LARGE],
    ["no end in sight", "x".repeat(4096), TOO_LARGE],
    ["the last byte that fits", `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(4096 - 32)}\r\n\r\n`, 4096],
    ["as many fields as fit", `GET / HTTP/1.1\r\nHost: a\r\n${"X: x\r\n".repeat(19)}\r\n`, 16 + 9 + 19 * 6 + 2],
  ])("%s", (_name, text, expected) => {
    expect(parse(text).position).toBe(expected);
  });
});

describe("a parser that has read others before", () => {
  const section = fc.constantFrom(
    "Host: a\r\n\r\n",
    "Host: b\r\n\r\n",
    "Host: a\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
    "Host: a\r\nX-A: 1\r\nX-B: 3\r\n\r\n",
    "Host: a\r\nContent-Length: 4\r\n\r\n",
    "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Host: a\r\nConnection: close\r\n\r\n",
    "Host: a\r\nConnection: x-a\r\nX-A: 1\r\n\r\n",
    "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "Host: a\r\nExpect: 100-continue\r\nTE: gzip\r\nKeep-Alive: timeout=5\r\n\r\n",
    "Host: a\r\nContent-Length: 4 \r\n\r\n",
    "Host: a\r\nX-A: 1\r\n",
    "Host: a\r\n folded\r\n\r\n",
    `Host: a\r\nX-Long: ${"x".repeat(1100)}\r\n\r\n`,
    "\r\n",
  );
  const start = fc.constantFrom(
    "GET / HTTP/1.1\r\n",
    "GET /longer HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "POST / HTTP/1.1\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 404 Not Found\r\n",
    "GET ",
    "",
  );
  const limits = fc.constantFrom(LIMITS, { headMaxBytes: 60, headersMax: 20 }, { headMaxBytes: 4096, headersMax: 2 });
  const step = fc.record({
    section,
    start,
    limits,
    before: fc.nat(3),
    after: fc.constantFrom("", "body\r\n\r\n"),
    drops: fc.nat(4),
  });

  test("says of each what one says that has read none", () => {
    let repeated = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 3, maxLength: 9 }), (steps) => {
        const old = new HeadParser();
        let previous = "";
        for (const { section: fields, start: line, limits: bounds, before, after, drops } of steps) {
          const bytes = Buffer.from(`${" ".repeat(before)}${line}${fields}${after}`, "latin1");
          const read = (parser: HeadParser) => {
            const how = line === "" ? "parseTrailers" : line.startsWith("HTTP") ? "parseReply" : "parseRequest";
            // Trailers have no version; what is looked at there does not depend on one.
            if (line === "") parser.minor = 1;
            const position = parser[how](bytes, before, bounds);
            if (position < 0) return { position, problem: position === INCOMPLETE ? "" : parser.problem };
            const map = new HeaderMap();
            map.load(bytes, parser.offsets, parser.marks, parser.count);
            const { offsets: _, marks: __, problem: ___, method, target, status, reason, minor, ...ofFields } = parser;
            const ofLine = {
              parseTrailers: [],
              parseReply: [status, reason, minor],
              parseRequest: [method, target, minor],
            };
            return { ...ofFields, line: ofLine[how], position, fields: [...map] };
          };
          expect(read(old)).toEqual(read(new HeadParser()));
          // Who took the fields may take some away.
          for (let field = 0; field < Math.min(drops, old.count); field++) old.marks[field] = 1;
          if (line !== "" && fields === previous) repeated++;
          previous = line === "" ? "" : fields;
        }
      }),
      RUNS,
    );
    expect(repeated).toBeGreaterThan(RUNS.numRuns / 10);
  });
});
