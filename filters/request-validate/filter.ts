// Requests are what the service's OpenAPI document says they are, or they do not get there.
import { counter, defineFilter, type FilterHeaders, type StreamedBody } from "../../sdk/index.ts";
import { Config } from "./config.ts";
import { renderFinding } from "./findings.ts";
import { judgeReply, judgeRequest, type Judged, type Judgement } from "./judge.ts";

const FOR_LATER = "metadata.request_problems";
const UNREAD: Judged = { outcome: "unread", findings: [], answer: undefined };
/** Of a log's line, and of a value for later filters. */
const TOLD_MAX = 5;

export default defineFilter({
  name: "request-validate",
  stage: "transform",
  // Which headers, only the document knows.
  reads: [":method", ":path", ":status", "*"],
  writes: [FOR_LATER],
  body: { request: "stream", response: "stream" },
  config: Config,
  metrics: {
    request_validate_messages_total: counter({
      help: "Messages by whether they fit their description.",
      labels: ["of", "outcome"],
    }),
  },
  async request(request, { config, metrics, log }) {
    const { method, path, headers, body } = request;
    if (isPreflight(method, headers)) return undefined;
    const judgement = judgeRequest(config, { method, path, headers });
    const settle = ({ outcome, findings }: Judged): void => {
      metrics.request_validate_messages_total.inc({ of: "request", outcome });
      if (config.mode === "enforce" || outcome === "valid") return;
      const problems = findings.slice(0, TOLD_MAX).map(renderFinding);
      log.warn("a request does not fit its description", { outcome, method, path, problems });
    };
    if (config.mode === "enforce") {
      const judged = typeof judgement === "function" ? judgement(await body.bytes()) : judgement;
      settle(judged);
      return judged.answer;
    }
    const judged = await observe(judgement, { body, headers, maxBytes: config.maxBytes }, settle);
    if (judged !== undefined && judged.outcome !== "valid") request.setAttribute(FOR_LATER, summaryOf(judged));
    return undefined;
  },
  async response(response, { config, metrics, log }) {
    if (config.replies === "ignore") return;
    const { status, headers, body } = response;
    const { method, path } = response.request;
    const judgement = judgeReply(config, { method, path }, status, headers);
    await observe(judgement, { body, headers, maxBytes: config.maxBytes }, ({ outcome, findings }) => {
      metrics.request_validate_messages_total.inc({ of: "reply", outcome });
      if (outcome === "valid") return;
      const problems = findings.slice(0, TOLD_MAX).map(renderFinding);
      log.warn("a reply does not fit its description", { outcome, method, path, status, problems });
    });
  },
});

/** A body that is looked at. */
interface Observed {
  readonly body: StreamedBody;
  readonly headers: FilterHeaders<string, never>;
  readonly maxBytes: number;
}

/**
 * Judges without holding anything up that need not wait: a body whose length was told is read and keeps it, another is
 * looked at while it passes, and judged when the message is gone.
 */
async function observe(
  judgement: Judgement,
  { body, headers, maxBytes }: Observed,
  tell: (judged: Judged) => void,
): Promise<Judged | undefined> {
  if (typeof judgement !== "function" || headers.has("content-length")) {
    const judged = typeof judgement === "function" ? judgement(await body.bytes()) : judgement;
    tell(judged);
    return judged;
  }
  const pieces: Uint8Array[] = [];
  let heldBytes = 0;
  body.transform({
    chunk(bytes) {
      heldBytes += bytes.length;
      if (heldBytes <= maxBytes) pieces.push(bytes);
      else pieces.length = 0;
    },
    end() {
      tell(heldBytes <= maxBytes ? judgement(joinPieces(pieces, heldBytes)) : UNREAD);
    },
  });
  return undefined;
}

function joinPieces(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const joined = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/** A browser asks whether it may ask: no request of the document's yet. */
function isPreflight(method: string, headers: FilterHeaders<string, never>): boolean {
  return method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method");
}

/** As a field's value: what a client wrote may hold anything. */
function summaryOf({ outcome, findings }: Judged): string {
  const text = findings.slice(0, TOLD_MAX).map(renderFinding).join("; ");
  return text === "" ? outcome : text.replaceAll(/[^ -~]/gu, "?");
}
