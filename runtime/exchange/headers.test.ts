import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HeadParser } from "../codec/http1-grammar.ts";
import { HeaderMap, isFieldName, isFieldValue, NO_ROOM, NOT_THERE } from "./headers.ts";

const LIMITS = { headMaxBytes: 65_536, headersMax: 100 };

function parse(fields: readonly (readonly [string, string])[]): HeaderMap {
  const bytes = Buffer.from(
    `GET / HTTP/1.1\r\nHost: a\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
    "latin1",
  );
  const parser = new HeadParser();
  expect(parser.parseRequest(bytes, 0, LIMITS)).toBe(bytes.length);
  const map = new HeaderMap();
  map.load(bytes, parser.offsets, parser.marks, parser.count);
  return map;
}

function encode(map: HeaderMap): string {
  const out = Buffer.alloc(65_536);
  return out.latin1Slice(0, map.write(out, 0, "\r\n"));
}

describe("a parsed head", () => {
  test("is written as it came", () => {
    expect(
      encode(
        parse([
          ["X-Mixed-Case", "a  b"],
          ["x-dup", "1"],
          ["X-Dup", "2"],
          ["x-latin", "caf\u00e9"],
        ]),
      ),
    ).toBe("Host: a\r\nX-Mixed-Case: a  b\r\nx-dup: 1\r\nX-Dup: 2\r\nx-latin: caf\u00e9\r\n\r\n");
  });

  test("is read without regard to case, duplicates joined", () => {
    const map = parse([
      ["X-Dup", "1"],
      ["x-dUP", "2"],
    ]);
    expect(map.get("x-dup")).toBe("1, 2");
    expect(map.getAll("x-dup")).toEqual(["1", "2"]);
    expect(map.has("x-du")).toBe(false);
  });

  test("a name that differs in a character other than a letter's case is another name", () => {
    // "^" and "~" differ in bit 0x20 alone, as "A" and "a" do.
    const map = parse([["x-^", "1"]]);
    expect(map.get("x-~")).toBeUndefined();
    expect(map.get("x-^")).toBe("1");
  });

  test("knows the names of the head that it was given last", () => {
    const map = new HeaderMap();
    const names = ["X-First", "accept", "x-request-id", "a", "Content-Type"];
    for (const name of names) {
      const bytes = Buffer.from(`${name}: 1\r\n`);
      const at = name.length;
      map.load(bytes, new Int32Array([0, at, at + 2, at + 3]), new Uint8Array(1), 1);
      for (const asked of names) expect(map.has(asked.toLowerCase())).toBe(asked === name);
    }
    map.load(Buffer.alloc(0), new Int32Array(0), new Uint8Array(0), 0);
    expect(names.filter((name) => map.has(name.toLowerCase()))).toEqual([]);
  });

  test("leaves no field of its hop", () => {
    const map = parse([
      ["Connection", "keep-alive, X-Hop"],
      ["X-Hop", "1"],
      ["Keep-Alive", "timeout=5"],
      ["TE", "trailers"],
      ["X-End", "1"],
    ]);
    // TE is of one hop too, but this one says what the next hop is to know (RFC 9110 §10.1.4).
    expect(encode(map)).toBe("Host: a\r\nTE: trailers\r\nX-End: 1\r\n\r\n");
  });

  test("does not fit: nothing is claimed to be written", () => {
    expect(parse([["x-a", "1"]]).write(Buffer.alloc(10), 0, "\r\n")).toBe(-1);
  });
});

/** What `writeValue` writes, in as little room as it needs and behind what lies there. */
function writtenValue(map: HeaderMap, name: string): string | undefined {
  const value = map.get(name);
  const out = Buffer.alloc(3 + (value?.length ?? 0) + 2, "-");
  const end = map.writeValue(name, out, 3);
  if (value === undefined) {
    expect(end).toBe(NOT_THERE);
    return undefined;
  }
  expect(map.writeValue(name, Buffer.alloc(out.length - 1), 3)).toBe(NO_ROOM);
  expect(out.latin1Slice(0, 3)).toBe("---");
  return out.latin1Slice(3, end);
}

test("edits agree with a plain list of pairs, whatever their order", () => {
  const name = fc.constantFrom("x-a", "X-A", "x-b", "x-c");
  const value = fc.constantFrom("1", "2", "", "caf\u00e9", "longer than what a loop copies");
  const edit = fc.oneof(
    fc.record({ kind: fc.constant("set" as const), name, value }),
    fc.record({ kind: fc.constant("append" as const), name, value }),
    fc.record({ kind: fc.constant("delete" as const), name, value }),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(name, value), { maxLength: 5 }),
      fc.array(edit, { maxLength: 6 }),
      (fields, edits) => {
        const map = parse(fields);
        let model: (readonly [string, string])[] = [["Host", "a"], ...fields];
        for (const { kind, name: key, value: text } of edits) {
          if (kind !== "append") model = model.filter(([other]) => other.toLowerCase() !== key.toLowerCase());
          if (kind === "delete") map.delete(key.toLowerCase());
          else map[kind](key, text);
          if (kind !== "delete") model.push([key, text]);
        }
        expect([...map]).toEqual(model.map(([key, text]) => [key, text]));
        expect(encode(map)).toBe(`${model.map(([key, text]) => `${key}: ${text}\r\n`).join("")}\r\n`);
        for (const key of ["x-a", "x-b", "x-c"]) {
          const values = model.filter(([other]) => other.toLowerCase() === key).map(([, text]) => text);
          expect(map.has(key)).toBe(values.length > 0);
          expect(map.get(key)).toBe(values.length === 0 ? undefined : values.join(", "));
          expect(writtenValue(map, key)).toBe(map.get(key));
        }
      },
    ),
  );
});

test.each([
  ["a\r\nb", false],
  ["a\0b", false],
  ["a\u0100", false],
  ["a\tb\u00ff", true],
])("%p as a value is %p", (text, expected) => expect(isFieldValue(text)).toBe(expected));

test("a name is a token", () => {
  expect(isFieldName("x-ok")).toBe(true);
  for (const bad of ["", "x y", "x:", "x\n", "é"]) expect(isFieldName(bad)).toBe(false);
});
