import { expect, test } from "bun:test";
import fc from "fast-check";
import { errorOf, valueOf } from "../../test/harness/host-answer.ts";
import { createHostFunctions } from "./host-functions.ts";

const functions = createHostFunctions({ shared: () => undefined });
const decode = (mode: string, payload: Uint8Array) => functions.text("utf8-decode", mode, payload);

test("a text comes back as it went, a byte order mark and NUL included", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const encoded = valueOf(functions.bytes("utf8-encode", text, new Uint8Array()));
      expect(valueOf(decode("fatal", encoded))).toBe(text.toWellFormed());
    }),
  );
  expect(valueOf(decode("fatal", Uint8Array.of(0xef, 0xbb, 0xbf, 0)))).toBe("\ufeff\0");
});

test("what is not UTF-8 is refused, or replaced", () => {
  const bytes = Uint8Array.of(0x61, 0xff, 0x62);
  expect(errorOf(decode("fatal", bytes))).toBe("utf8-decode: bytes are not UTF-8");
  expect(valueOf(decode("lossy", bytes))).toBe("a\ufffdb");
  expect(errorOf(decode("latin1", bytes))).toBe('utf8-decode: mode is "latin1", must be fatal or lossy');
});
