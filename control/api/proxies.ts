// Who runs what, and a few figures.
import { Hono } from "hono";
import type { Gateway } from "../push/gateway.ts";
import type { Store } from "../store/store.ts";

/** Routes below `/v1`. */
export function proxyRoutes({ store, gateway }: { readonly store: Store; readonly gateway: Gateway }): Hono {
  const app = new Hono();
  app.get("/proxies", (c) =>
    c.json({
      items: gateway.proxies().map(({ connectedAtMs, ...proxy }) => {
        return Object.assign({ connectedAt: new Date(connectedAtMs).toISOString() }, proxy);
      }),
      revision: store.revision(),
    }),
  );
  return app;
}

/** The exposition format of Prometheus. */
export function renderMetrics(store: Store, gateway: Gateway): string {
  const proxies = gateway.proxies();
  const statuses = ["synced", "pushing", "refused", "unpublishable"] as const;
  const lines = [
    "# TYPE vespid_control_proxies gauge",
    ...statuses.map((status) => {
      return `vespid_control_proxies{status="${status}"} ${proxies.filter((proxy) => proxy.status === status).length}`;
    }),
    "# TYPE vespid_control_revision gauge",
    `vespid_control_revision ${store.revision()}`,
    "# TYPE vespid_control_pushes_total counter",
    `vespid_control_pushes_total ${gateway.counts.pushes}`,
    "# TYPE vespid_control_push_answers_total counter",
    `vespid_control_push_answers_total{answer="ack"} ${gateway.counts.acks}`,
    `vespid_control_push_answers_total{answer="nack"} ${gateway.counts.nacks}`,
  ];
  return `${lines.join("\n")}\n`;
}
