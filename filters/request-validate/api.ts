// An OpenAPI document (3.0 or 3.1) compiled: which operation a request is of, and what is described of it.
import type { JsonSchema } from "../../sdk/index.ts";
import { compileContent, type Content } from "./body.ts";
import { child, described, Document, DocumentFault, flagOf, textOf, type Node } from "./document.ts";
import { decodePercent } from "./pairs.ts";
import { compileParameters, type Parameters } from "./parameters.ts";
import { Routes } from "./routes.ts";
import { Schemas } from "./schemas.ts";
import { basesOf } from "./servers.ts";

/** One operation. */
export interface Operation {
  /** `GET /pets/{id}`, without its server's path. */
  readonly name: string;
  readonly parameters: Parameters | undefined;
  readonly body: { readonly isRequired: boolean; readonly content: Content } | undefined;
  /** Content of replies, by status: `200`, `2xx` or `default`; empty where replies are not checked. */
  readonly replies: ReadonlyMap<string, Content>;
}

/** A description to hold messages to. */
export interface Api {
  readonly routes: Routes<ReadonlyMap<string, Operation>>;
  readonly requestSchemas: readonly JsonSchema[];
  readonly replySchemas: readonly JsonSchema[];
}

/** Something in the document that cannot be used, and where: a JSON pointer. */
export interface DocumentProblem {
  readonly pointer: string;
  readonly message: string;
}

export type Compiled =
  | { readonly ok: true; readonly api: Api }
  | { readonly ok: false; readonly problems: readonly DocumentProblem[] };

/** What a request is. */
export type Identified =
  | { readonly kind: "operation"; readonly operation: Operation; readonly path: ReadonlyMap<string, string> }
  | { readonly kind: "unknown_path" }
  | { readonly kind: "unknown_method"; readonly allow: readonly string[] }
  /** A path that services may read in several ways. */
  | { readonly kind: "malformed_path"; readonly detail: string };

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"] as const;
const PROBLEMS_MAX = 20;
/** More than any template has. */
const SEGMENTS_MAX = 256;

/** Compiles a document, or says all that is wrong with it. */
export function compileApi(
  value: Readonly<Record<string, unknown>>,
  options: { readonly checksReplies: boolean },
): Compiled {
  const problems: DocumentProblem[] = [];
  const tell = (pointer: string, message: string): void => {
    if (problems.length < PROBLEMS_MAX) problems.push({ pointer, message });
  };
  const attempt = <Made>(make: () => Made): Made | undefined => {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof DocumentFault)) throw error;
      tell(error.pointer, error.message);
      return undefined;
    }
  };
  const document = new Document(value);
  const version = attempt(() => versionOf(document));
  if (version === undefined) return { ok: false, problems };
  const requests = new Schemas(document, "request", version === "3.0");
  const replies = new Schemas(document, "response", version === "3.0");
  const compiler = { document, requests, replies: options.checksReplies ? replies : undefined };
  const paths = new Map<string, { readonly pointer: string; readonly methods: Map<string, Operation> }>();
  for (const [template, item] of attempt(() => described(child(document.root, "paths"))) ?? []) {
    const pathItem = attempt(() => document.resolve(item));
    if (pathItem === undefined) continue;
    if (!template.startsWith("/")) tell(item.pointer, `path ${JSON.stringify(template)} must begin with /`);
    for (const method of METHODS) {
      const node = attempt(() => child(pathItem, method));
      if (node === undefined) continue;
      attempt(() => {
        const operation = compileOperation(compiler, `${method.toUpperCase()} ${template}`, pathItem, node);
        const servers = [node, pathItem, document.root]
          .map((of) => child(of, "servers"))
          .find((found) => found !== undefined);
        for (const base of basesOf(servers)) {
          const known = paths.get(base + template) ?? { pointer: item.pointer, methods: new Map<string, Operation>() };
          known.methods.set(method.toUpperCase(), operation);
          paths.set(base + template, known);
        }
      });
    }
  }
  const routes = new Routes<ReadonlyMap<string, Operation>>();
  for (const [template, { pointer, methods }] of paths) attempt(() => routes.add(template, methods, pointer));
  if (problems.length > 0) return { ok: false, problems };
  const requestSchemas = requests.build(tell);
  const replySchemas = replies.build(tell);
  return problems.length > 0 ? { ok: false, problems } : { ok: true, api: { routes, requestSchemas, replySchemas } };
}

interface Compiler {
  readonly document: Document;
  readonly requests: Schemas;
  /** `undefined` where replies are not checked. */
  readonly replies: Schemas | undefined;
}

function versionOf({ root }: Document): "3.0" | "3.1" {
  const version = textOf(root, "openapi") ?? "";
  const [, minor] = /^3\.([01])\.\d+/u.exec(version) ?? [];
  if (minor === undefined)
    throw new DocumentFault("#/openapi", `is ${JSON.stringify(version)}, must be 3.0.x or 3.1.x`);
  return minor === "0" ? "3.0" : "3.1";
}

function compileOperation(
  { document, requests, replies }: Compiler,
  name: string,
  pathItem: Node,
  node: Node,
): Operation {
  const requestBody = child(node, "requestBody");
  const body = requestBody && document.resolve(requestBody);
  return {
    name,
    parameters: compileParameters(document, requests, pathItem, node),
    body: body && {
      isRequired: flagOf(body, "required", false),
      content: compileContent(document, requests, child(body, "content")),
    },
    replies: new Map(
      replies === undefined
        ? []
        : described(child(node, "responses")).map(([status, reply]) => [
            status.toLowerCase(),
            compileContent(document, replies, child(document.resolve(reply), "content")),
          ]),
    ),
  };
}

/** The operation that a request is of. */
export function identify({ routes }: Api, method: string, target: string): Identified {
  const [path = ""] = target.split(/[?#]/u, 1);
  if (!path.startsWith("/")) return { kind: "unknown_path" };
  const sent = path.slice(1).split("/");
  if (sent.length > SEGMENTS_MAX) return { kind: "unknown_path" };
  const decoded = sent.map(decodePercent).filter((segment) => segment !== undefined);
  if (decoded.length < sent.length) return { kind: "malformed_path", detail: "path must be percent-coded UTF-8" };
  if (decoded.some(leadsElsewhere))
    return { kind: "malformed_path", detail: "path must not hold the segments . and .." };
  const matched = routes.match(sent, decoded);
  if (matched === undefined) return { kind: "unknown_path" };
  // What may be fetched may be asked about (RFC 9110 §9.3.2).
  const operation = matched.value.get(method) ?? (method === "HEAD" ? matched.value.get("GET") : undefined);
  if (operation !== undefined) return { kind: "operation", operation, path: matched.parameters };
  return { kind: "unknown_method", allow: allowOf(matched.value) };
}

/** Services that decode a path before they take it apart would leave the one that was checked. */
function leadsElsewhere(segment: string): boolean {
  return segment.split(/[/\\]/u).some((part) => part === "." || part === "..");
}

function allowOf(methods: ReadonlyMap<string, Operation>): readonly string[] {
  const allowed = [...methods.keys()];
  return allowed.includes("GET") && !allowed.includes("HEAD") ? [...allowed, "HEAD"] : allowed;
}

/** Content that is described of a reply; `undefined` where its status is not. */
export function replyContent({ replies }: Operation, status: number): Content | undefined {
  return replies.get(String(status)) ?? replies.get(`${String(status).charAt(0)}xx`) ?? replies.get("default");
}
