// Resources: read, list, put, delete, apply many at once, and their history.
import { Hono, type Context } from "hono";
import { z } from "zod";
import { parseWith, renderPath, type Parsed, type Problem } from "../../runtime/contract/problem.ts";
import {
  isKind,
  keyOf,
  KINDS,
  Name,
  Namespace,
  parseResource,
  renderKey,
  type ResourceKey,
} from "../resource/resource.ts";
import type { Revision, Store, StoredResource } from "../store/store.ts";
import { formatOf, parseDocuments } from "./body.ts";
import { documentOf, type Denial, type Desired, type Outcome, type Wanted } from "./desired.ts";
import { renderProblemReply } from "./problem.ts";

/** Items of one page, and the default. */
export const PAGE_MAX = 500;

const flag = z
  .enum(["true", "false", ""])
  .default("false")
  .transform((text) => text !== "false");
export const ChangeQuery = z.object({ dryRun: flag, resourceVersion: z.string().optional() });
export const ListParameters = z.object({
  kind: z.enum(KINDS).optional(),
  namespace: Namespace.optional(),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_MAX),
  /** What the page before gave as `continue`. */
  continue: z.string().max(1000).optional(),
});
export const HistoryParameters = z.object({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
  /** Only revisions before this one. */
  before: z.coerce.number().int().min(1).optional(),
});

export interface ResourcesApi {
  readonly store: Store;
  readonly desired: Desired;
}

/** Routes below `/v1`. */
export function resourceRoutes({ store, desired }: ResourcesApi): Hono {
  const app = new Hono();

  app.get("/resources", (c) => listPage(c, store, {}));
  app.get("/resources/:kind", (c) => listPage(c, store, { kind: c.req.param("kind") }));
  app.get("/resources/:kind/:namespace", (c) =>
    listPage(c, store, { kind: c.req.param("kind"), namespace: c.req.param("namespace") }),
  );
  app.get("/resources/:kind/:namespace/:name", (c) => {
    const key = parseKey(c.req.param());
    if (!key.ok) return invalid(key.problems, 404);
    const stored = store.get(key.value);
    return stored === undefined ? missing(key.value) : c.json(renderResource(stored));
  });
  app.get("/resources/:kind/:namespace/:name/revisions", (c) => {
    const key = parseKey(c.req.param());
    return key.ok ? history(c, store, key.value) : invalid(key.problems, 404);
  });
  app.get("/revisions", (c) => history(c, store, undefined));

  app.put("/resources/:kind/:namespace/:name", async (c) => {
    const key = parseKey(c.req.param());
    if (!key.ok) return invalid(key.problems, 422);
    const query = parseWith(ChangeQuery, c.req.query());
    if (!query.ok) return invalid(query.problems, 422);
    const documents = await readBody(c);
    if (documents instanceof Response) return documents;
    const [document, another] = documents;
    if (document === undefined || another !== undefined) {
      return invalid([{ path: "", message: `holds ${documents.length} documents, must hold one` }], 400);
    }
    const wanted = parseWanted(document, "", key.value);
    if (!wanted.ok) return invalid(wanted.problems, 422);
    const outcome = desired.change([wanted.value], query.value.dryRun ? "dry_run" : "commit");
    if (!outcome.ok) return denied(outcome.error);
    const [action] = outcome.value.actions;
    const { revision, warnings } = outcome.value;
    const stored = store.get(key.value);
    const resource = query.value.dryRun || stored === undefined ? wanted.value.document : renderResource(stored);
    return c.json({ action, revision, warnings, resource }, action === "created" && !query.value.dryRun ? 201 : 200);
  });

  app.delete("/resources/:kind/:namespace/:name", (c) => {
    const key = parseKey(c.req.param());
    if (!key.ok) return invalid(key.problems, 404);
    const query = parseWith(ChangeQuery, c.req.query());
    if (!query.ok) return invalid(query.problems, 422);
    const wanted: Wanted = { kind: "delete", at: "", key: key.value, expected: query.value.resourceVersion };
    const outcome = desired.change([wanted], query.value.dryRun ? "dry_run" : "commit");
    return outcome.ok ? c.json(renderOutcome(outcome.value, [key.value])) : denied(outcome.error);
  });

  app.post("/apply", async (c) => {
    const query = parseWith(ChangeQuery, c.req.query());
    if (!query.ok) return invalid(query.problems, 422);
    const documents = await readBody(c);
    if (documents instanceof Response) return documents;
    const parsed = documents.map((document, index) => parseWanted(document, `[${index}]`, undefined));
    const problems = parsed.flatMap((wanted) => (wanted.ok ? [] : wanted.problems));
    if (problems.length > 0) return invalid(problems, 422);
    const wanted = parsed.flatMap((item) => (item.ok ? [item.value] : []));
    const outcome = desired.change(wanted, query.value.dryRun ? "dry_run" : "commit");
    if (!outcome.ok) return denied(outcome.error);
    return c.json(
      renderOutcome(
        outcome.value,
        wanted.map(({ resource }) => keyOf(resource)),
      ),
    );
  });
  return app;
}

/** A resource as the API gives it out; it can be applied again as it is. */
export function renderResource({ document, revision, createdAtMs }: StoredResource) {
  const creationTimestamp = new Date(createdAtMs).toISOString();
  return { ...document, metadata: { ...document.metadata, creationTimestamp, resourceVersion: String(revision) } };
}

type PutWanted = Extract<Wanted, { readonly kind: "put" }>;

/** `key`: what the address says; the document must say the same, or nothing. */
function parseWanted(document: unknown, at: string, key: ResourceKey | undefined): Parsed<PutWanted> {
  const parsed = parseResource(key === undefined ? document : withNamespace(document, key.namespace), at);
  if (!parsed.ok) return parsed;
  const resource = parsed.value;
  const problems = key === undefined ? [] : compareKeys(keyOf(resource), key);
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, value: { kind: "put", at, resource, document: documentOf(resource, document) } };
}

function withNamespace(document: unknown, namespace: string): unknown {
  if (typeof document !== "object" || document === null || !("metadata" in document)) return document;
  const { metadata } = document;
  return typeof metadata === "object" ? { ...document, metadata: { namespace, ...metadata } } : document;
}

function compareKeys(said: ResourceKey, addressed: ResourceKey): readonly Problem[] {
  const fields = [
    ["kind", said.kind, addressed.kind],
    ["metadata.namespace", said.namespace, addressed.namespace],
    ["metadata.name", said.name, addressed.name],
  ] as const;
  return fields
    .filter(([, inBody, inPath]) => inBody !== inPath)
    .map(([path, inBody, inPath]) => ({ path, message: `is "${inBody}", the address says "${inPath}"` }));
}

async function readBody(c: Context): Promise<readonly unknown[] | Response> {
  const format = formatOf(c.req.header("content-type"));
  if (format === undefined) {
    return renderProblemReply(415, { detail: "send application/yaml or application/json" });
  }
  const documents = parseDocuments(await c.req.text(), format);
  return documents.ok ? documents.value : renderProblemReply(400, { problems: documents.problems });
}

function parseKey(parameters: Readonly<Record<string, string>>): Parsed<ResourceKey> {
  return parseWith(z.object({ kind: z.enum(KINDS), namespace: Namespace, name: Name }), parameters);
}

function listPage(c: Context, store: Store, fromPath: Readonly<Record<string, string>>): Response {
  const query = parseWith(ListParameters, { ...c.req.query(), ...fromPath });
  if (!query.ok) return invalid(query.problems, 422);
  const { kind, namespace, limit, continue: token } = query.value;
  const after = token === undefined ? undefined : parseContinue(token);
  if (token !== undefined && after === undefined) {
    return invalid([{ path: "continue", message: `${JSON.stringify(token)} is not what a page gave out` }], 422);
  }
  // One more than asked for tells whether there is another page.
  const found = store.list({ kind, namespace, after, countMax: limit + 1 });
  const items = found.slice(0, limit);
  const last = found.length > limit ? items.at(-1) : undefined;
  return c.json({
    items: items.map(renderResource),
    revision: store.revision(),
    ...(last === undefined ? {} : { continue: `${last.key.kind}/${last.key.namespace}/${last.key.name}` }),
  });
}

function parseContinue(token: string): ResourceKey | undefined {
  const [kind, namespace, name] = token.split("/");
  return isKind(kind) && namespace !== undefined && name !== undefined ? { kind, namespace, name } : undefined;
}

function history(c: Context, store: Store, key: ResourceKey | undefined): Response {
  const query = parseWith(HistoryParameters, c.req.query());
  if (!query.ok) return invalid(query.problems, 422);
  const { limit, before } = query.value;
  const revisions = store.history({ countMax: limit, ...(key && { key }), ...(before !== undefined && { before }) });
  return c.json({ items: revisions.map(renderRevision), revision: store.revision() });
}

function renderRevision({ revision, atMs, key, action, document }: Revision) {
  return { revision, at: new Date(atMs).toISOString(), ...key, action, resource: document };
}

function renderOutcome({ revision, actions, warnings }: Outcome, keys: readonly ResourceKey[]) {
  return { revision, results: keys.map((key, index) => Object.assign({ action: actions[index] }, key)), warnings };
}

/** The reply to a change that was not made. */
export function denied(denial: Denial): Response {
  if (denial.kind === "invalid") return invalid(denial.problems, 422);
  const { refusals } = denial;
  const [first] = refusals;
  if (first?.kind === "missing" && refusals.length === 1) return missing(first.key);
  return renderProblemReply(409, {
    detail: "nothing was changed: read the resource again, and apply your change to what it is now",
    problems: refusals.map(({ index, expected, actual }) => ({
      path: renderPath(refusals.length > 1 ? [index, "metadata", "resourceVersion"] : ["metadata", "resourceVersion"]),
      message: `is ${expected ?? "absent"}, the resource ${actual === undefined ? "does not exist" : `is at ${actual}`}`,
    })),
    // JSON leaves out what is undefined.
    conflicts: refusals.map(({ key, expected, actual }) => ({ resource: renderKey(key), expected, actual })),
  });
}

function missing(key: ResourceKey): Response {
  return renderProblemReply(404, { detail: `there is no ${renderKey(key)}` });
}

function invalid(problems: readonly Problem[], status: 400 | 404 | 422): Response {
  return renderProblemReply(status, { problems });
}
