// What deploying, promoting and rolling back make of a Filter.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Document, Revision } from "../store/store.ts";
import {
  CAUSE,
  isNamed,
  liveVersions,
  promoted,
  rolledBack,
  withCandidate,
  withLive,
  withoutCandidate,
} from "./change.ts";

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;
const filter = (spec: object, cause?: string): Document => ({
  apiVersion: "vespid.dev/v1",
  kind: "Filter",
  metadata: {
    name: "a",
    namespace: "default",
    annotations: { team: "red", ...(cause === undefined ? {} : { [CAUSE]: cause }) },
  },
  spec: { selector: { services: ["app"] }, ...spec },
});

/** Documents, the oldest first, as the store tells of them. */
const historyOf = (...documents: readonly Document[]): readonly Revision[] =>
  documents
    .map((document, index) => ({
      revision: index + 1,
      atMs: index,
      key: { kind: "Filter" as const, namespace: "default", name: "a" },
      action: "updated" as const,
      document,
    }))
    .toReversed();

describe("live versions", () => {
  test("are told once for as long as they are live, whatever is tried beside them", () => {
    const one = filter({ bundle: digest("1") }, "deployed 1");
    const history = historyOf(
      one,
      withCandidate(one, { bundle: digest("2") }, "tried 2"),
      filter({ bundle: digest("2") }),
    );
    expect(liveVersions(history).map(({ version, revision, cause }) => [version, revision, cause])).toEqual([
      [digest("2"), 3, undefined],
      [digest("1"), 1, "deployed 1"],
    ]);
  });

  test("of the same bundle are two where their configurations are", () => {
    const history = historyOf(
      filter({ bundle: digest("1"), config: { a: 1 } }),
      filter({ bundle: digest("1"), config: { a: 2 } }),
    );
    expect(liveVersions(history).map(({ config }) => config)).toEqual([{ a: 2 }, { a: 1 }]);
  });
});

describe("promoting", () => {
  test("puts the candidate in the live version's place, and leaves everything else", () => {
    const document = filter({ bundle: digest("1"), config: { a: 1 }, candidate: { bundle: digest("2"), percent: 5 } });
    const made = promoted(document);
    expect(made).toMatchObject({
      ok: true,
      value: {
        spec: { bundle: digest("2"), config: { a: 1 }, selector: { services: ["app"] } },
        metadata: { annotations: { team: "red" } },
      },
    });
    expect(made.ok && made.value.spec).not.toHaveProperty("candidate");
  });

  test("a candidate that is another configuration of a built-in keeps the built-in", () => {
    const made = promoted(filter({ builtin: "cors", candidate: { config: { b: 2 } } }));
    expect(made).toMatchObject({ ok: true, value: { spec: { builtin: "cors", config: { b: 2 } } } });
    expect(made.ok && made.value.spec).not.toHaveProperty("bundle");
  });

  test("needs a candidate", () => {
    expect(promoted(filter({ bundle: digest("1") }))).toMatchObject({ ok: false });
  });
});

describe("rolling back", () => {
  const before = liveVersions(
    historyOf(filter({ bundle: digest("1"), config: { a: 1 } }), filter({ bundle: digest("2") })),
  );

  test("lets the candidate go where there is one", () => {
    const document = filter({ bundle: digest("2"), candidate: { bundle: digest("3") } });
    const made = rolledBack(document, before, undefined);
    expect(made).toMatchObject({ ok: true, value: { spec: { bundle: digest("2") } } });
    expect(made.ok && made.value.metadata.annotations?.[CAUSE]).toBe(`rolled back ${digest("3")}`);
  });

  test("brings back the version before with its configuration, or the one that is named", () => {
    const document = filter({ bundle: digest("2") });
    for (const to of [undefined, digest("1"), "111111", "sha256:1111111"]) {
      expect(rolledBack(document, before, to)).toMatchObject({
        ok: true,
        value: { spec: { bundle: digest("1"), config: { a: 1 } } },
      });
    }
    expect(rolledBack(document, before, "abcdef")).toEqual({
      ok: false,
      error: `no version before was abcdef; there were ${digest("1")}`,
    });
    expect(rolledBack(document, before.slice(0, 1), undefined)).toMatchObject({ ok: false });
  });
});

test("a digest is named by six of its first digits, and by no fewer", () => {
  expect(isNamed(digest("a"), "aaaaaa")).toBe(true);
  expect(isNamed(digest("a"), "aaaaa")).toBe(false);
  expect(isNamed("builtin/cors", "builtin/cors")).toBe(true);
});

/** Members of a configuration; one that is called `__proto__` is left out of every document that is read (zod). */
const configs = fc.dictionary(
  fc.string().filter((name) => name !== "__proto__"),
  fc.jsonValue(),
);

test("whatever is tried and let go leaves the document's spec as it was", () => {
  fc.assert(
    fc.property(configs, configs, (config, tried) => {
      const document = withLive(filter({ builtin: "cors" }), { bundle: digest("1"), config }, "live");
      const back = withoutCandidate(withCandidate(document, { config: tried }, "tried"), "gone");
      expect(back.spec).toEqual(document.spec);
    }),
  );
});
