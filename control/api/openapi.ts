// The API described, OpenAPI 3.1: schemas are generated from those that check the bodies, and the table of operations is what 405 is answered from.
import { z } from "zod";
import { Digest, Manifest } from "../../runtime/contract/bundle.ts";
import { Difference } from "../../runtime/contract/trial.ts";
import { KINDS, Name, Namespace, RESOURCES } from "../resource/resource.ts";
import { Deploy, Rollback, Versions } from "./filters.ts";
import { ProblemDocument, ProblemItem } from "./problem.ts";
import { RecordBody, TailBody } from "./taps.ts";
import { ChangeQuery, HistoryParameters, ListParameters } from "./resources.ts";

/** One operation of the API. */
interface Operation {
  readonly method: "get" | "put" | "post" | "delete";
  /** Below the root, parameters in braces. */
  readonly path: string;
  readonly summary: string;
  readonly query?: z.ZodObject;
  /** Names of schemas, by media type. */
  readonly body?: Readonly<Record<string, string>>;
  /** Name of the schema of the reply; none for bytes and text. */
  readonly reply?: string;
}

const ADDRESS = "/v1/resources/{kind}/{namespace}/{name}";
const FILTER = "/v1/filters/{namespace}/{name}";
const JSON_OF = (schema: string): Readonly<Record<string, string>> => ({ "application/json": schema });
const RESOURCE_BODY = { "application/yaml": "Resource", "application/json": "Resource" };

type Rest = Pick<Operation, "query" | "body" | "reply">;
const operation = (method: Operation["method"], path: string, summary: string, rest: Rest = {}): Operation =>
  Object.assign({ method, path, summary }, rest);
const LIST: Rest = { query: ListParameters, reply: "Page" };
const HISTORY: Rest = { query: HistoryParameters, reply: "History" };
const APPLY_BODY = { "application/yaml": "Resource", "application/json": "Resources" };

const OPERATIONS: readonly Operation[] = [
  operation("get", "/v1/resources", "List resources", LIST),
  operation("get", "/v1/resources/{kind}", "List resources of a kind", LIST),
  operation("get", "/v1/resources/{kind}/{namespace}", "List resources of a kind in a namespace", LIST),
  operation("get", ADDRESS, "Read a resource", { reply: "Resource" }),
  operation("put", ADDRESS, "Create or replace a resource", { query: ChangeQuery, body: RESOURCE_BODY, reply: "Put" }),
  operation("delete", ADDRESS, "Delete a resource", { query: ChangeQuery, reply: "Applied" }),
  operation("get", `${ADDRESS}/revisions`, "History of a resource", HISTORY),
  operation("get", "/v1/revisions", "History of everything", HISTORY),
  operation("post", "/v1/apply", "Apply many, all or none", { query: ChangeQuery, body: APPLY_BODY, reply: "Applied" }),
  operation("post", "/v1/bundles", "Push a built filter", {
    body: { "application/octet-stream": "Artifact" },
    reply: "Bundle",
  }),
  operation("get", "/v1/bundles", "List bundles", { reply: "Bundles" }),
  operation("get", "/v1/bundles/{digest}", "Read a bundle's manifest and files", { reply: "Bundle" }),
  operation("delete", "/v1/bundles/{digest}", "Delete a bundle that no filter uses"),
  operation("get", "/v1/blobs/{digest}", "Fetch one file of a bundle"),
  operation("get", "/v1/proxies", "Which version each connected proxy runs, and what it refused", { reply: "Proxies" }),
  operation("get", `${FILTER}/versions`, "A filter's versions: live, on trial and before", { reply: "Versions" }),
  operation("get", `${FILTER}/differences`, "Where a shadow decided otherwise; needs the token", {
    reply: "Differences",
  }),
  operation("post", `${FILTER}/deploy`, "Put a version live, or on trial", {
    body: JSON_OF("Deploy"),
    reply: "Versions",
  }),
  operation("post", `${FILTER}/promote`, "Put the candidate in the live version's place", { reply: "Versions" }),
  operation("post", `${FILTER}/rollback`, "Let the candidate go, or bring back the version before", {
    body: JSON_OF("Rollback"),
    reply: "Versions",
  }),
  operation("post", `${FILTER}/tail`, "What a filter logs and decides, as a stream of events", {
    body: JSON_OF("Tail"),
  }),
  operation("post", `${FILTER}/record`, "Exchanges as a filter sees them, redacted, as a stream of events", {
    body: JSON_OF("Record"),
  }),
  operation("get", "/healthz", "Whether control serves"),
  operation("get", "/metrics", "Figures for Prometheus"),
  operation("get", "/openapi.json", "This document"),
];

const Key = z.object({ kind: z.enum(KINDS), namespace: Namespace, name: Name });
const Resource = z.discriminatedUnion("kind", [
  RESOURCES.ServiceEntry,
  RESOURCES.DestinationRule,
  RESOURCES.VirtualService,
  RESOURCES.Sidecar,
  RESOURCES.Filter,
]);
const action = z.enum(["created", "updated", "unchanged", "deleted"]);
const revision = z.int();
const warnings = z.array(ProblemItem);
const Bundle = z.object({
  digest: Digest,
  manifest: Manifest,
  files: z.array(z.object({ name: z.string(), digest: Digest, sizeBytes: z.int() })),
  sizeBytes: z.int(),
  createdAt: z.string(),
});
const Proxy = z.object({
  id: z.string(),
  service: z.string(),
  namespace: z.string(),
  labels: z.record(z.string(), z.string()),
  status: z.enum(["synced", "pushing", "refused", "unpublishable"]),
  version: z.string().optional(),
  wanted: z.string().optional(),
  refused: z.object({ version: z.string(), problems: z.array(ProblemItem), attempts: z.int() }).optional(),
  problems: z.array(ProblemItem),
  connectedAt: z.string(),
  lastPushMs: z.number().optional(),
});

const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  ...RESOURCES,
  Resource,
  Resources: z.array(Resource),
  Page: z.object({ items: z.array(Resource), revision, continue: z.string().optional() }),
  Put: z.object({ action, revision, warnings, resource: Resource }),
  Applied: z.object({ revision, results: z.array(Key.extend({ action })), warnings }),
  History: z.object({
    items: z.array(Key.extend({ revision, at: z.string(), action, resource: Resource.optional() })),
    revision,
  }),
  Artifact: z.string().meta({ contentEncoding: "binary" }),
  Bundle,
  Bundles: z.object({ items: z.array(Bundle) }),
  Proxies: z.object({ items: z.array(Proxy), revision }),
  Versions,
  Differences: z.object({ items: z.array(Difference.extend({ proxy: z.string() })) }),
  Deploy,
  Rollback,
  Tail: TailBody,
  Record: RecordBody,
  Problem: ProblemDocument,
};

/** Methods that a path takes; none for a path that the API does not have. */
export function methodsOf(path: string): readonly string[] {
  return OPERATIONS.filter((known) => patternOf(known.path).test(path)).map(({ method }) => method.toUpperCase());
}

/** The whole document. */
export function renderOpenApi(): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const known of OPERATIONS) {
    paths[known.path] = { ...paths[known.path], [known.method]: renderOperation(known) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Vespid control", version: "1" },
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(SCHEMAS).map(([name, schema]) => [name, renderSchema(schema)])),
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
    },
  };
}

function renderOperation({ method, path, summary, query, body, reply }: Operation): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/gu)].map(([, name]) => {
    return { name, in: "path", required: true, schema: name === "kind" ? { enum: KINDS } : { type: "string" } };
  });
  const inQuery = Object.keys(query?.shape ?? {}).map((name) => {
    return { name, in: "query", schema: query === undefined ? {} : propertyOf(renderSchema(query), name) };
  });
  const content = Object.entries(body ?? {}).map(([type, name]) => [type, { schema: refTo(name) }]);
  const ok = reply === undefined ? {} : { content: { "application/json": { schema: refTo(reply) } } };
  const problem = { description: "Refused", content: { "application/problem+json": { schema: refTo("Problem") } } };
  return {
    summary,
    parameters: [...inPath, ...inQuery],
    ...(body === undefined ? {} : { requestBody: { required: true, content: Object.fromEntries(content) } }),
    ...(method === "get" ? {} : { security: [{ token: [] }] }),
    responses: { "2XX": { description: "Done", ...ok }, default: problem },
  };
}

function renderSchema(schema: z.ZodType): object {
  // Input: what may be written. What only code can check (a regular expression's syntax) is not in the schema.
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest;
}

function propertyOf(schema: object, name: string): unknown {
  const properties: unknown = "properties" in schema ? schema.properties : undefined;
  return typeof properties === "object" && properties !== null ? Reflect.get(properties, name) : undefined;
}

function refTo(name: string): object {
  return { $ref: `#/components/schemas/${name}` };
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/gu, "[^/]+")}$`, "u");
}
