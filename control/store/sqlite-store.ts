// The store in one SQLite file. A change is on the disk before its author hears that it was taken.
import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { renderCanonical } from "../../runtime/contract/version.ts";
import { isKind, type ResourceKey } from "../resource/resource.ts";
import { createBundleStore } from "./bundle-store.ts";
import type { Result } from "./result.ts";
import type {
  Applied,
  ApplyMode,
  Change,
  ChangeAction,
  Document,
  ListQuery,
  Refusal,
  Revision,
  Store,
  StoredResource,
} from "./store.ts";

/** Revisions kept; older ones are forgotten, the resources stay. */
const REVISIONS_KEPT = 10_000;
const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE resources (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    document TEXT NOT NULL, revision INTEGER NOT NULL, created_revision INTEGER NOT NULL, created_seq INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, namespace, name)
  ) STRICT;
  CREATE TABLE revisions (
    revision INTEGER NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, action TEXT NOT NULL, document TEXT,
    PRIMARY KEY (revision, seq)
  ) STRICT;
  CREATE INDEX revisions_by_key ON revisions (kind, namespace, name, revision);
  CREATE TABLE bundles (digest TEXT PRIMARY KEY, ref TEXT NOT NULL, size_bytes INTEGER NOT NULL, created_at_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE blobs (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE bundle_blobs (bundle TEXT NOT NULL, blob TEXT NOT NULL, PRIMARY KEY (bundle, blob)) STRICT;
`;

interface ResourceRow {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly document: string;
  readonly revision: number;
  readonly created_revision: number;
  readonly created_at_ms: number;
}

interface RevisionRow {
  readonly revision: number;
  readonly at_ms: number;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly action: Revision["action"];
  readonly document: string | null;
}

/** Opens or makes the file; `:memory:` keeps nothing. Throws, naming the file, where it cannot be used. */
export function openSqliteStore(file: string): Store {
  if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  let database: Database;
  try {
    database = new Database(file, { create: true, strict: true });
    prepare(database);
  } catch (error) {
    throw new Error(`store ${file} cannot be opened: ${explain(error)}`, { cause: error });
  }
  return createStore(database);
}

function prepare(database: Database): void {
  // One control at a time: a second one would not hear of this one's changes.
  database.run("PRAGMA locking_mode = EXCLUSIVE");
  database.run("PRAGMA journal_mode = WAL");
  // With NORMAL, a power cut may lose the last commits; an acknowledged change is never lost.
  database.run("PRAGMA synchronous = FULL");
  database.transaction(() => {
    const version = database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
    if (version === SCHEMA_VERSION) return;
    if (version !== 0) throw new Error(`it has schema ${version}, this program has ${SCHEMA_VERSION}`);
    database.run(SCHEMA);
    database.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  })();
  // Takes the lock now, so that a second control fails at its start and not at its first change.
  database.run("BEGIN IMMEDIATE; COMMIT");
}

function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.includes("locked") ? "another control uses it" : message;
}

function createStore(database: Database): Store {
  const findOne = database.query<ResourceRow, [string, string, string]>(
    "SELECT * FROM resources WHERE kind = ? AND namespace = ? AND name = ?",
  );
  const findAll = database.query<ResourceRow, []>("SELECT * FROM resources ORDER BY created_revision, created_seq");
  const findPage = database.query<ResourceRow, Record<string, string | number | null>>(
    `SELECT * FROM resources WHERE ($kind IS NULL OR kind = $kind) AND ($namespace IS NULL OR namespace = $namespace)
     AND ($afterKind IS NULL OR (kind, namespace, name) > ($afterKind, $afterNamespace, $afterName))
     ORDER BY kind, namespace, name LIMIT $countMax`,
  );
  const findHistory = database.query<RevisionRow, Record<string, string | number | null>>(
    `SELECT * FROM revisions WHERE ($kind IS NULL OR (kind = $kind AND namespace = $namespace AND name = $name))
     AND ($before IS NULL OR revision < $before) ORDER BY revision DESC, seq DESC LIMIT $countMax`,
  );
  const upsert = database.query(
    `INSERT INTO resources VALUES ($kind, $namespace, $name, $document, $revision, $revision, $seq, $atMs)
     ON CONFLICT DO UPDATE SET document = $document, revision = $revision`,
  );
  const remove = database.query("DELETE FROM resources WHERE kind = ? AND namespace = ? AND name = ?");
  const record = database.query(
    "INSERT INTO revisions VALUES ($revision, $seq, $atMs, $kind, $namespace, $name, $action, $document)",
  );
  const forget = database.query("DELETE FROM revisions WHERE revision <= ?");
  const readSetting = database.query<{ value: string }, [string]>("SELECT value FROM settings WHERE name = ?");
  const writeSetting = database.query(
    "INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
  );

  function get(key: ResourceKey): StoredResource | undefined {
    const row = findOne.get(key.kind, key.namespace, key.name);
    return row === null ? undefined : readRow(row);
  }

  // Kept as a setting: the history is cut, and a deletion must not give its number to the next change.
  const revision = () => Number(readSetting.get("revision")?.value ?? 0);

  function write(change: Change, action: ChangeAction, next: number, seq: number, atMs: number): void {
    if (action === "unchanged") return;
    const { kind, namespace, name } = change.key;
    const document = change.kind === "put" ? JSON.stringify(change.document) : null;
    if (document === null) remove.run(kind, namespace, name);
    else upsert.run({ kind, namespace, name, document, revision: next, seq, atMs });
    record.run({ revision: next, seq, atMs, kind, namespace, name, action, document });
  }

  const applyAll = database.transaction(
    (changes: readonly Change[], atMs: number, mode: ApplyMode): Result<Applied, readonly Refusal[]> => {
      const refusals = changes.flatMap((change, index) => refuse(change, index, get(change.key)));
      if (refusals.length > 0) return { ok: false, error: refusals };
      const actions = changes.map((change) => actionOf(change, get(change.key)));
      const last = revision();
      const isNews = actions.some((action) => action !== "unchanged");
      const applied = { revision: isNews ? last + 1 : last, actions };
      if (mode === "dry_run" || !isNews) return { ok: true, value: applied };
      changes.forEach((change, seq) => write(change, actions[seq] ?? "unchanged", applied.revision, seq, atMs));
      writeSetting.run("revision", String(applied.revision));
      forget.run(applied.revision - REVISIONS_KEPT);
      return { ok: true, value: applied };
    },
  );

  return {
    ...createBundleStore(database),
    apply: (changes, atMs, mode) => applyAll.immediate(changes, atMs, mode),
    get,
    list: ({ kind, namespace, after, countMax }: ListQuery) =>
      findPage
        .all({
          kind: kind ?? null,
          namespace: namespace ?? null,
          afterKind: after?.kind ?? null,
          afterNamespace: after?.namespace ?? null,
          afterName: after?.name ?? null,
          countMax,
        })
        .map(readRow),
    all: () => findAll.all().map(readRow),
    revision,
    history: ({ key, before, countMax }) =>
      findHistory
        .all({
          kind: key?.kind ?? null,
          namespace: key?.namespace ?? null,
          name: key?.name ?? null,
          before: before ?? null,
          countMax,
        })
        .map(readRevision),
    readSetting: (name) => readSetting.get(name)?.value,
    writeSetting: (name, value) => void writeSetting.run(name, value),
    close: () => database.close(false),
  };
}

function actionOf(change: Change, before: StoredResource | undefined): ChangeAction {
  if (change.kind === "delete") return "deleted";
  if (before === undefined) return "created";
  return renderCanonical(before.document) === renderCanonical(change.document) ? "unchanged" : "updated";
}

function refuse(change: Change, index: number, before: StoredResource | undefined): readonly Refusal[] {
  const actual = before === undefined ? undefined : String(before.revision);
  const { key, expected } = change;
  if (change.kind === "delete" && actual === undefined) return [{ index, key, kind: "missing", expected, actual }];
  if (expected === undefined || expected === actual) return [];
  return [{ index, key, kind: "conflict", expected, actual }];
}

function readRow(row: ResourceRow): StoredResource {
  return {
    key: readKey(row),
    document: readDocument(row.document),
    revision: row.revision,
    createdRevision: row.created_revision,
    createdAtMs: row.created_at_ms,
  };
}

function readRevision(row: RevisionRow): Revision {
  const document = row.document === null ? undefined : readDocument(row.document);
  return { revision: row.revision, atMs: row.at_ms, key: readKey(row), action: row.action, document };
}

function readKey({ kind, namespace, name }: { kind: string; namespace: string; name: string }): ResourceKey {
  if (!isKind(kind)) throw new Error(`the store holds a ${kind}, which this program does not know`);
  return { kind, namespace, name };
}

/** Only documents that were checked are ever written; what they say is checked again when it is compiled. */
function readDocument(text: string): Document {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `apply` only, from a Document
  return JSON.parse(text) as Document;
}
