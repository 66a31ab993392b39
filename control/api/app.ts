// The API put together: who may, how large, what is answered where nothing else answers.
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Gateway } from "../push/gateway.ts";
import type { Taps } from "../push/taps.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import type { Store } from "../store/store.ts";
import { isLoopbackAddress, isLoopbackHost, type CheckToken } from "./auth.ts";
import { bundleRoutes, type DeriveBundle } from "./bundles.ts";
import type { Desired } from "./desired.ts";
import { filterRoutes } from "./filters.ts";
import { methodsOf, renderOpenApi } from "./openapi.ts";
import { renderProblemReply } from "./problem.ts";
import { proxyRoutes, renderMetrics } from "./proxies.ts";
import { resourceRoutes } from "./resources.ts";
import { tapRoutes } from "./taps.ts";

/** The largest body of resources. */
export const RESOURCES_MAX_BYTES = 8 * 1024 * 1024;

/** What the server knows of a request beyond its head. */
export interface Bindings {
  readonly remoteAddress: string;
}

export interface AppOptions {
  readonly store: Store;
  readonly desired: Desired;
  readonly gateway: Gateway;
  readonly rollouts: Rollouts;
  readonly taps: Taps;
  readonly deriveBundle: DeriveBundle;
  readonly checkToken: CheckToken;
  /** Whether only this machine reaches the listener. */
  readonly isLoopbackOnly: boolean;
  /** For what nobody expected. */
  readonly failed: (error: unknown, path: string) => void;
  readonly now: () => number;
}

/** What shows requests of others is for who has the token, wherever it is asked from. */
const PRIVATE = /^\/v1\/filters\/[^/]+\/[^/]+\/differences$/u;
const READS = new Set(["GET", "HEAD"]);

/** Everything that is answered over HTTP. */
export function createApp(options: AppOptions): Hono<{ Bindings: Bindings }> {
  const { store, desired, gateway, rollouts, taps, deriveBundle, checkToken, isLoopbackOnly, failed, now } = options;
  const app = new Hono<{ Bindings: Bindings }>();

  app.use(async (c, next) => {
    const host = c.req.header("host");
    if (isLoopbackOnly && !isLoopbackHost(host)) {
      return renderProblemReply(403, { detail: `host ${JSON.stringify(host)} is not this machine` });
    }
    const isRead = READS.has(c.req.method);
    const isLocal = isLoopbackAddress(c.env.remoteAddress) && isLoopbackHost(host);
    // Proxies have no token yet, and a blob's digest is known only to who was told it.
    const isOpen = isRead && !PRIVATE.test(c.req.path) && (isLocal || /^\/(?:v1\/blobs\/|healthz$)/u.test(c.req.path));
    if (!isOpen && !checkToken(c.req.header("authorization"))) {
      return renderProblemReply(401, {
        detail:
          'send "authorization: Bearer TOKEN"; control printed the token at its first start, --token sets another',
        headers: { "www-authenticate": 'Bearer realm="vespid"' },
      });
    }
    return next();
  });
  const tooLarge = () =>
    renderProblemReply(413, { detail: `a body of resources is at most ${RESOURCES_MAX_BYTES} bytes` });
  const limit = bodyLimit({ maxSize: RESOURCES_MAX_BYTES, onError: tooLarge });
  app.use("/v1/resources/*", limit);
  app.use("/v1/apply", limit);
  app.use("/v1/filters/*", limit);

  app.route("/v1", resourceRoutes({ store, desired }));
  app.route("/v1", bundleRoutes({ store, desired, deriveBundle, now }));
  app.route("/v1", proxyRoutes({ store, gateway }));
  app.route("/v1", filterRoutes({ rollouts }));
  app.route(
    "/v1",
    tapRoutes({ taps, hasFilter: (namespace, name) => store.get({ kind: "Filter", namespace, name }) !== undefined }),
  );
  app.get("/healthz", (c) => c.json({ status: "ok", revision: store.revision() }));
  app.get("/metrics", (c) => c.text(renderMetrics(store, gateway)));
  app.get("/openapi.json", (c) => c.json(renderOpenApi()));

  app.notFound((c) => {
    const methods = methodsOf(c.req.path);
    if (methods.length === 0) return renderProblemReply(404, { detail: `there is no ${c.req.path}` });
    return renderProblemReply(405, {
      detail: `${c.req.path} takes ${methods.join(", ")}`,
      headers: { allow: methods.join(", ") },
    });
  });
  app.onError((error, c) => {
    failed(error, c.req.path);
    return renderProblemReply(500, { detail: "control's log has the reason" });
  });
  return app;
}
