// The one place that turns failures into replies. Statuses, flags, details and texts are Envoy's, so that dashboards and
// clients made for it read ours; what went wrong inside is for logs and never part of the text.
import type { Layer, Outcome } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import { localReply, type Reply, type ResponseFlags } from "../exchange/reply.ts";
import { continued } from "../exchange/later.ts";

/** Whatever fails below becomes a reply, so that filters and clients above see one. */
export const rescue: Layer = (next) => {
  return function rescueExchange(exchange) {
    return continued(next(exchange), exchange, rescued);
  };
};

function rescued(outcome: Outcome): Outcome {
  return outcome.ok ? outcome : { ok: true, value: replyFor(outcome.error) };
}

/** The reply to a failure. */
export function replyFor(error: Failure): Reply {
  switch (error.kind) {
    case "bad_request":
      return closing(reply(400, "Bad Request", "DPE", "http1.codec_error"));
    case "head_too_large":
      return closing(reply(431, "", "DPE", "request_headers_too_large"));
    case "body_too_large":
      return closing(reply(413, "Payload Too Large", "-", "request_payload_too_large"));
    case "request_timeout":
      return closing(reply(408, "request timeout", "DPE", "request_header_timeout"));
    case "expectation_failed":
      return closing(reply(417, "", "DPE", "expectation_failed"));
    case "no_route":
      return reply(404, "", "NR", "route_not_found");
    case "no_cluster":
      return reply(503, "", "NC", "cluster_not_found");
    case "no_healthy_endpoint":
      return reply(503, "no healthy upstream", "UH", "no_healthy_upstream");
    case "overloaded":
      return overloaded();
    case "connect_timeout":
      return resetReply(503, "UF", "connection timeout", "connection_timeout");
    case "connect_failed":
      return resetReply(503, "UF", "remote connection failure", "remote_connection_failure");
    case "upstream_closed":
      return resetReply(503, "UC", "connection termination", "connection_termination");
    case "upstream_reset":
      return resetReply(503, "UR", "remote reset", "remote_reset");
    case "upstream_protocol":
      return resetReply(502, "UPE", "protocol error", "protocol_error");
    case "response_timeout":
      return reply(504, "upstream request timeout", "UT", "response_timeout");
    case "stream_idle":
      return reply(504, "stream timeout", "SI", "stream_idle_timeout");
    case "downstream_closed":
      // Nobody reads it; the log says 0 as Envoy's does.
      return reply(0, "", "DC", "downstream_remote_disconnect");
    case "downstream_reset":
      return reply(0, "", "DR", "http2.remote_reset");
    case "filter_failed":
      return reply(503, "", "-", "filter_failed");
    case "internal":
      return reply(500, "", "-", "internal_error");
  }
}

function overloaded(): Reply {
  const made = resetReply(503, "UO", "overflow", "overflow");
  made.headers.append("x-envoy-overloaded", "true");
  return made;
}

function resetReply(status: number, flags: ResponseFlags, reason: string, detail: string): Reply {
  return reply(
    status,
    `upstream connect error or disconnect/reset before headers. reset reason: ${reason}`,
    flags,
    `upstream_reset_before_response_started{${detail}}`,
  );
}

function reply(status: number, text: string, flags: ResponseFlags, details: string): Reply {
  const made = localReply(status, text, details);
  made.flags = flags;
  return made;
}

function closing(made: Reply): Reply {
  made.closes = true;
  return made;
}
