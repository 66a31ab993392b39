import { describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { Digest, Manifest } from "../../runtime/contract/bundle.ts";
import { makeTempFolder } from "../../test/harness/temp-folder.ts";
import type { ResourceKey } from "../resource/resource.ts";
import { openSqliteStore } from "./sqlite-store.ts";
import type { Change, Store, StoredBundle } from "./store.ts";

const keyOf = (name: string, namespace = "default"): ResourceKey => ({ kind: "VirtualService", namespace, name });
const put = (name: string, spec: unknown, expected?: string): Change => ({
  kind: "put",
  key: keyOf(name),
  expected,
  document: {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name, namespace: "default" },
    spec,
  },
});
const remove = (name: string, expected?: string): Change => ({ kind: "delete", key: keyOf(name), expected });

const digestOf = (byte: string) => Digest.parse(`sha256:${byte.repeat(64)}`);
const bundle = (byte: string): StoredBundle => ({
  sizeBytes: 3,
  createdAtMs: 1,
  ref: {
    digest: digestOf(byte),
    manifest: Manifest.parse({
      name: "stamp",
      world: "vespid:filter/filter@2.0.0",
      stage: "transform",
      reads: [],
      writes: [],
      phases: ["request"],
      configSchema: {},
    }),
    files: [{ name: "core.wasm", digest: digestOf("c"), sizeBytes: 3 }],
  },
});

function withStore(use: (store: Store) => void): void {
  const store = openSqliteStore(":memory:");
  try {
    use(store);
  } finally {
    store.close();
  }
}

describe("a set of changes", () => {
  test("is one revision, and every resource of it is at that version", () => {
    withStore((store) => {
      expect(store.apply([put("a", 1), put("b", 1)], 10, "commit")).toEqual({
        ok: true,
        value: { revision: 1, actions: ["created", "created"] },
      });
      expect(store.apply([put("a", 2), put("b", 1), remove("b")].slice(0, 2), 20, "commit")).toMatchObject({
        value: { revision: 2, actions: ["updated", "unchanged"] },
      });
      expect(store.get(keyOf("a"))).toMatchObject({ revision: 2, createdRevision: 1, createdAtMs: 10 });
      expect(store.get(keyOf("b"))).toMatchObject({ revision: 1 });
    });
  });

  test("that changes nothing makes no revision", () => {
    withStore((store) => {
      store.apply([put("a", { x: 1, y: 2 })], 10, "commit");
      const again = store.apply([put("a", { y: 2, x: 1 })], 20, "commit");
      expect(again).toEqual({ ok: true, value: { revision: 1, actions: ["unchanged"] } });
      expect(store.revision()).toBe(1);
    });
  });

  test("is refused whole when one of it expects another version", () => {
    withStore((store) => {
      store.apply([put("a", 1)], 10, "commit");
      store.apply([put("a", 2)], 20, "commit");
      const refused = store.apply([put("b", 1), put("a", 3, "1"), remove("gone")], 30, "commit");
      expect(refused).toMatchObject({
        ok: false,
        error: [
          { index: 1, kind: "conflict", expected: "1", actual: "2" },
          { index: 2, kind: "missing" },
        ],
      });
      expect(store.get(keyOf("b"))).toBeUndefined();
      expect(store.get(keyOf("a"))?.document.spec).toBe(2);
      expect(store.apply([put("a", 3, "2")], 40, "commit").ok).toBe(true);
    });
  });

  test("on a dry run says what would happen, and nothing happens", () => {
    withStore((store) => {
      expect(store.apply([put("a", 1)], 10, "dry_run")).toEqual({
        ok: true,
        value: { revision: 1, actions: ["created"] },
      });
      expect(store.get(keyOf("a"))).toBeUndefined();
      expect(store.revision()).toBe(0);
    });
  });
});

test("the history is newest first, and a deletion has no document", () => {
  withStore((store) => {
    store.apply([put("a", 1)], 10, "commit");
    store.apply([put("a", 2), put("b", 1)], 20, "commit");
    store.apply([remove("a")], 30, "commit");
    const told = store
      .history({ key: keyOf("a"), countMax: 10 })
      .map(({ revision, action }) => `${revision} ${action}`);
    expect(told).toEqual(["3 deleted", "2 updated", "1 created"]);
    expect(store.history({ countMax: 2 }).map(({ key }) => key.name)).toEqual(["a", "b"]);
    expect(store.history({ key: keyOf("a"), before: 3, countMax: 1 })).toMatchObject([{ revision: 2 }]);
    expect(store.history({ key: keyOf("a"), countMax: 1 })[0]?.document).toBeUndefined();
  });
});

test("pages follow one another without a gap", () => {
  withStore((store) => {
    store.apply(
      ["c", "a", "b", "d", "e"].map((name) => put(name, 1)),
      10,
      "commit",
    );
    const first = store.list({ countMax: 2 });
    const second = store.list({ countMax: 10, after: first.at(-1)?.key });
    expect([...first, ...second].map(({ key }) => key.name)).toEqual(["a", "b", "c", "d", "e"]);
    expect(store.list({ kind: "Filter", countMax: 10 })).toEqual([]);
    expect(store.all().map(({ key }) => key.name)).toEqual(["c", "a", "b", "d", "e"]);
  });
});

test("a bundle's blobs go with it, but for those that another shares", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  withStore((store) => {
    store.putBundle(
      bundle("a"),
      new Map([
        [digestOf("c"), bytes],
        [digestOf("1"), bytes],
      ]),
    );
    store.putBundle(
      bundle("b"),
      new Map([
        [digestOf("c"), bytes],
        [digestOf("2"), bytes],
      ]),
    );
    expect(store.deleteBundle(digestOf("a"))).toBe(true);
    expect(store.deleteBundle(digestOf("a"))).toBe(false);
    expect(store.getBlob(digestOf("c"))).toEqual(bytes);
    expect(store.getBlob(digestOf("1"))).toBeUndefined();
    expect(store.listBundles()).toEqual([bundle("b")]);
  });
});

describe("the file", () => {
  test("is used by one control at a time, and keeps what was written", async () => {
    await using folder = await makeTempFolder();
    const file = folder.file("deep/control.sqlite");
    const store = openSqliteStore(file);
    store.apply([put("a", 1)], 10, "commit");
    expect(() => openSqliteStore(file)).toThrow("another control uses it");
    store.close();
    const reopened = openSqliteStore(file);
    expect(reopened.get(keyOf("a"))?.document.spec).toBe(1);
    reopened.close();
  });

  test("of a later program is refused by name", async () => {
    await using folder = await makeTempFolder();
    const database = new Database(folder.file("later.sqlite"), { create: true });
    database.run("PRAGMA user_version = 99");
    database.close();
    expect(() => openSqliteStore(folder.file("later.sqlite"))).toThrow("schema 99");
  });
});
