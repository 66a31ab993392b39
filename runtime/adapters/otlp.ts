// Log records and metrics to an OpenTelemetry collector, by OTLP over HTTP in JSON.
import type { BackendOf } from "../contract/adapter.ts";
import { endedAtMs, type Backend, type BackendParts, type Instance } from "./adapter.ts";
import { Batcher, SENT, type Sent } from "./batcher.ts";
import { attributesOf, renderLogs } from "./otlp-logs.ts";
import { renderMetrics } from "./otlp-metrics.ts";
import type { Exchange } from "../exchange/exchange.ts";

/** One instance, as it will be sent. */
export interface OtlpEntry {
  readonly instance: Instance;
  readonly atMs: number;
  readonly traceId: string;
}

type OtlpConfig = BackendOf<"otlp">;

const REPLY_MAX_BYTES = 64 * 1024;
/** Not now (the OTLP specification's retryable answers); any other but 2xx is never. */
const RETRIED = new Set([408, 429, 502, 503, 504]);
/** Roughly what an attribute costs beside its text. */
const ATTRIBUTE_BYTES = 48;
const TRACE_PARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-/u;

/** Batches to a collector: metrics of the names that the configuration defines, log records of the others. */
export function buildOtlp(parts: BackendParts<"otlp">): Backend {
  const { name, config, surroundings } = parts;
  const { service, namespace } = surroundings.own;
  const resource = {
    attributes: attributesOf({ "service.name": service, "service.namespace": namespace, ...config.resource }),
  };
  const controller = new AbortController();
  /** When the interval of the next metrics began. */
  let sinceMs = surroundings.clock.now();

  async function send(entries: readonly OtlpEntry[]): Promise<Sent> {
    const isMetric = ({ instance }: OtlpEntry): boolean => Object.hasOwn(config.metrics, instance.name);
    const logs = entries.filter((entry) => !isMetric(entry));
    const measured = entries.filter((entry) => isMetric(entry));
    const nowMs = surroundings.clock.now();
    if (logs.length > 0 && !isSent.has(entries)) {
      const sent = await post(parts, config.logsPath, renderLogs(resource, logs), controller.signal);
      if (sent.kind === "retry") return sent;
      // Where the metrics of the same batch have to be sent again, its logs have not.
      isSent.add(entries);
      if (sent.kind === "refused" && measured.length === 0) return sent;
    }
    if (measured.length === 0) return SENT;
    const body = renderMetrics(resource, measured, config.metrics, { fromMs: sinceMs, toMs: nowMs });
    const sent = await post(parts, config.metricsPath, body, controller.signal);
    if (sent.kind !== "retry") sinceMs = nowMs;
    return sent;
  }
  const isSent = new WeakSet<readonly OtlpEntry[]>();

  const batcher = new Batcher<OtlpEntry>({
    adapter: name,
    policy: config.batch,
    sizeOf,
    send,
    schedule: surroundings.schedule,
    observer: surroundings.observer,
  });
  return {
    report: { add: (instance, exchange) => batcher.add(entryOf(instance, exchange)), flush: () => batcher.flush() },
    async stop() {
      await batcher.stop();
      controller.abort();
    },
  };
}

function entryOf(instance: Instance, exchange: Exchange): OtlpEntry {
  const [, traceId = ""] = TRACE_PARENT.exec(exchange.headers.get("traceparent") ?? "") ?? [];
  return { instance, atMs: endedAtMs(exchange), traceId };
}

function sizeOf({ instance: { name, attributes } }: OtlpEntry): number {
  let bytes = 100 + name.length;
  for (const [key, value] of Object.entries(attributes))
    bytes += key.length + ATTRIBUTE_BYTES + (typeof value === "string" ? value.length : JSON.stringify(value).length);
  return bytes;
}

async function post(
  { config, surroundings }: BackendParts<"otlp">,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Sent> {
  const { cluster, authority, timeoutMs } = (config satisfies OtlpConfig).upstream;
  const answered = await surroundings.callout(
    {
      cluster,
      authority,
      method: "POST",
      path,
      headers: [["content-type", "application/json"], ...Object.entries(config.headers)],
      body: new TextEncoder().encode(JSON.stringify(body)),
      timeoutMs,
      replyMaxBytes: REPLY_MAX_BYTES,
    },
    signal,
  );
  if (!answered.ok) return { kind: "retry", message: answered.error.message };
  const { status } = answered.value;
  if (status >= 200 && status < 300) return SENT;
  return { kind: RETRIED.has(status) ? "retry" : "refused", message: `${cluster} answered ${path} with ${status}` };
}
