// Whether a message is what is described of it, and what a request is answered that is not.
import type { FilterHeaders, Verdict } from "../../sdk/index.ts";
import { identify, replyContent, type Operation } from "./api.ts";
import { checkContent, findMedia, type Content } from "./body.ts";
import { checkParameters } from "./check-parameters.ts";
import type { Config } from "./config.ts";
import { problemReply, type Finding } from "./findings.ts";

/** How a message came out. */
export type Outcome = "valid" | "invalid" | "unknown_path" | "unknown_method" | "media_type" | "unread";

/** What became of it. */
export interface Judged {
  readonly outcome: Outcome;
  readonly findings: readonly Finding[];
  /** To a request that does not fit. */
  readonly answer: Verdict | undefined;
}

/** A message that is judged by its head, or one whose body must be read for it. */
export type Judgement = Judged | ((bytes: Uint8Array) => Judged);

type Headers = FilterHeaders<string, never>;

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
}

const VALID: Judged = { outcome: "valid", findings: [], answer: undefined };

/** Judges a request. */
export function judgeRequest(config: Config, head: RequestHead): Judgement {
  const { api, unknownPaths } = config;
  const found = identify(api, head.method, head.path);
  switch (found.kind) {
    case "malformed_path":
      return invalid(config, [{ in: "path", pointer: "", detail: found.detail }]);
    case "unknown_path":
      return {
        outcome: "unknown_path",
        findings: [],
        answer: unknownPaths === "pass" ? undefined : problemReply(404, "no such path is described"),
      };
    case "unknown_method": {
      const headers = { allow: found.allow.join(", ") };
      const answer = problemReply(405, "the method is not described for this path", { headers });
      return { outcome: "unknown_method", findings: [], answer: unknownPaths === "pass" ? undefined : answer };
    }
    case "operation":
      return judgeOperation(config, found.operation, found.path, head);
  }
}

function judgeOperation(
  config: Config,
  operation: Operation,
  path: ReadonlyMap<string, string>,
  { path: target, headers }: RequestHead,
): Judgement {
  const { api } = config;
  const at = target.indexOf("?");
  const findings =
    operation.parameters === undefined
      ? []
      : checkParameters(operation.parameters, api.requestSchemas, {
          path,
          query: at < 0 ? "" : target.slice(at + 1),
          header: (name) => headers.get(name),
        });
  const { body } = operation;
  if (body === undefined) return settle(config, findings);
  const length = headers.get("content-length");
  const whenAbsent = (): Judged =>
    settle(config, body.isRequired ? [...findings, { in: "body", pointer: "", detail: "is required" }] : findings);
  if (length === "0") return whenAbsent();
  const type = headers.get("content-type");
  if (type === null) return (bytes) => (bytes.length === 0 ? whenAbsent() : wrongType(body.content, findings));
  const media = findMedia(body.content, type);
  if (media === undefined) return wrongType(body.content, findings);
  if (media.kind === "other") return settle(config, findings);
  if (isCoded(headers)) {
    const answer = problemReply(415, "the body must not be coded", { headers: { "accept-encoding": "identity" } });
    return { outcome: "unread", findings, answer };
  }
  const tooLarge = (): Judged => ({
    outcome: "unread",
    findings,
    answer: problemReply(413, `the body is longer than ${config.maxBytes} bytes`),
  });
  if (length !== null && Number(length) > config.maxBytes) return tooLarge();
  return (bytes) => {
    if (bytes.length === 0) return whenAbsent();
    if (bytes.length > config.maxBytes) return tooLarge();
    return settle(config, [...findings, ...checkContent(media, api.requestSchemas, bytes)]);
  };
}

/** Judges the reply to a request. */
export function judgeReply(
  config: Config,
  request: Omit<RequestHead, "headers">,
  status: number,
  headers: Headers,
): Judgement {
  const found = identify(config.api, request.method, request.path);
  if (found.kind !== "operation") return VALID;
  const content = replyContent(found.operation, status);
  if (content === undefined)
    return wrongReply({ in: "header", name: "status", pointer: "", detail: `${status} is not described` });
  const hasNone =
    request.method === "HEAD" || status === 204 || status === 304 || headers.get("content-length") === "0";
  if (hasNone || content.size === 0) return VALID;
  const type = headers.get("content-type");
  const media = findMedia(content, type);
  if (media === undefined)
    return {
      ...wrongReply({ in: "header", name: "content-type", pointer: "", detail: "is not described" }),
      outcome: "media_type",
    };
  if (media.kind === "other") return VALID;
  const length = headers.get("content-length");
  if (isCoded(headers) || (length !== null && Number(length) > config.maxBytes)) return { ...VALID, outcome: "unread" };
  return (bytes) => {
    const findings = checkContent(media, config.api.replySchemas, bytes);
    return findings.length === 0 ? VALID : { outcome: "invalid", findings, answer: undefined };
  };
}

function wrongReply(finding: Finding): Judged {
  return { outcome: "invalid", findings: [finding], answer: undefined };
}

function settle(config: Config, findings: readonly Finding[]): Judged {
  return findings.length === 0 ? VALID : invalid(config, findings);
}

function invalid({ problemsMax }: Config, findings: readonly Finding[]): Judged {
  const more = { findings: findings.slice(0, problemsMax) };
  return { outcome: "invalid", findings, answer: problemReply(400, "the request does not fit its description", more) };
}

function wrongType(content: Content, findings: readonly Finding[]): Judged {
  const types = [...content.keys()].join(", ");
  // What would have been accepted (RFC 9110 §15.5.16).
  const answer = problemReply(415, `the body must be of type ${types}`, { headers: { accept: types } });
  return { outcome: "media_type", findings, answer };
}

function isCoded(headers: Headers): boolean {
  return (headers.get("content-encoding")?.trim().toLowerCase() ?? "identity") !== "identity";
}
