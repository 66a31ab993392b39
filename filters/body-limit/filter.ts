// No body longer than it may be: by its declared length before a byte of it is read, else while it passes.
import { BodyTooLargeError, counter, defineFilter, reply } from "../../sdk/index.ts";
import { Config } from "./config.ts";
import { meterBody } from "./meter.ts";

export default defineFilter({
  name: "body-limit",
  // Before filters that read bodies.
  stage: "authn",
  reads: [":method", ":path", ":status", "content-length"],
  body: { request: "stream", response: "stream" },
  config: Config,
  metrics: {
    body_limit_exceeded_total: counter({ help: "Bodies longer than they may be.", labels: ["of"] }),
  },
  request(request, { config, metrics }) {
    const own = config.paths.find(({ path }) => request.path.startsWith(path));
    const bytesMax = own?.requestMaxBytes ?? config.requestMaxBytes;
    if (bytesMax === undefined) return undefined;
    const length = request.headers.get("content-length");
    // The codec holds a body to its declared length, so that one needs no counting.
    if (length !== null && Number(length) <= bytesMax) return undefined;
    if (length !== null) {
      metrics.body_limit_exceeded_total.inc({ of: "request" });
      return reply({ status: 413, body: "Payload Too Large" });
    }
    request.body.transform(
      meterBody(bytesMax, (message) => {
        metrics.body_limit_exceeded_total.inc({ of: "request" });
        return new BodyTooLargeError(message);
      }),
    );
    return undefined;
  },
  response(response, { config, metrics }) {
    const bytesMax = config.responseMaxBytes;
    if (bytesMax === undefined) return undefined;
    const length = response.headers.get("content-length");
    if (length !== null) {
      // Of HEAD and 304 the length is that of another reply, and there is no body (RFC 9110 §8.6).
      const hasBody = response.request.method !== "HEAD" && response.status !== 304;
      if (!hasBody || Number(length) <= bytesMax) return undefined;
      metrics.body_limit_exceeded_total.inc({ of: "reply" });
      return reply({ status: 502, body: "Bad Gateway" });
    }
    response.body.transform(
      meterBody(bytesMax, (message) => {
        metrics.body_limit_exceeded_total.inc({ of: "reply" });
        return new Error(message);
      }),
    );
    return undefined;
  },
});
