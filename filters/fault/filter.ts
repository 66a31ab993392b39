// Faults on purpose: delays and failures for a share of the requests, to see how callers take them.
import { counter, defineFilter, reply, type Verdict } from "../../sdk/index.ts";
import { Config } from "./config.ts";
import { httpStatusOf } from "./grpc.ts";
import { FAULT_HEADERS, planAbort, planDelay, type Abort } from "./plan.ts";

/** Requests that wait now, in this instance or worker. */
const waiting = new WeakMap<object, number>();

export default defineFilter({
  name: "fault",
  stage: "transform",
  reads: [...FAULT_HEADERS, "content-type"],
  config: Config,
  metrics: { fault_injected_total: counter({ help: "Faults that requests met.", labels: ["fault"] }) },
  request(request, context) {
    const { config, metrics } = context;
    const read = (name: (typeof FAULT_HEADERS)[number]): string | null => request.headers.get(name);
    const asked = planDelay(config, read, Math.random);
    const active = waiting.get(config) ?? 0;
    const delayMs = active < config.activeMax ? asked : 0;
    const abort = planAbort(config, read, Math.random);
    const finish = (): Verdict | undefined => {
      if (abort === undefined) return undefined;
      metrics.fault_injected_total.inc({ fault: "abort" });
      return replyTo(abort, request.headers.get("content-type"));
    };
    if (delayMs === 0) return finish();
    metrics.fault_injected_total.inc({ fault: "delay" });
    waiting.set(config, active + 1);
    return context
      .sleep(delayMs)
      .finally(() => waiting.set(config, (waiting.get(config) ?? 1) - 1))
      .then(finish);
  },
});

function replyTo(abort: Abort, contentType: string | null): Verdict {
  const body = "fault filter abort";
  if (abort.kind === "http") return reply({ status: abort.status, body });
  if (!/^application\/grpc(?:$|[+;])/iu.test(contentType ?? ""))
    return reply({ status: httpStatusOf(abort.code), body });
  // gRPC's own form of a reply without messages: its status stands among the headers.
  const headers = { "content-type": "application/grpc", "grpc-status": String(abort.code), "grpc-message": body };
  return reply({ status: 200, headers });
}
