// THE MAP of control: api → store → debounce → compile → snapshot → session → gateway ══► the proxies.
import type { Parsed } from "../runtime/contract/problem.ts";
import { PUSH_PATH } from "../runtime/contract/protocol.ts";
import { createApp, type Bindings } from "./api/app.ts";
import { isLoopbackAddress, isLoopbackHost, openToken } from "./api/auth.ts";
import { ARTIFACT_MAX_BYTES, type DeriveBundle } from "./api/bundles.ts";
import { createDesired } from "./api/desired.ts";
import { renderProblemReply } from "./api/problem.ts";
import type { CheckConfig } from "./compile/review.ts";
import type { Identity } from "./compile/world.ts";
import { createDebounce, DEBOUNCE, type DebounceTiming } from "./push/debounce.ts";
import { createGateway, type GatewayLog, type GatewayTiming, type Peer, type Publication } from "./push/gateway.ts";
import { publishFrom } from "./push/publication.ts";
import { createTaps } from "./push/taps.ts";
import { createRollouts } from "./rollout/rollouts.ts";
import { renderKey } from "./resource/resource.ts";
import type { Store } from "./store/store.ts";

export interface ControlLog extends GatewayLog {
  error(fields: object, message: string): void;
}

export interface ControlOptions {
  /** Where to listen; port `0` takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Closed when control stops. */
  readonly store: Store;
  /** Replaces the store's token. */
  readonly token?: string | undefined;
  readonly deriveBundle: DeriveBundle;
  readonly checkConfig: CheckConfig;
  readonly log: ControlLog;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Never goes back, milliseconds. */
  readonly monotonic: () => number;
  readonly debounce?: DebounceTiming;
  readonly gateway?: Partial<GatewayTiming>;
}

export interface Control {
  /** `http://127.0.0.1:15010` */
  readonly url: string;
  /** The token, where this start made it: shown once, then only its hash is known. */
  readonly createdToken: string | undefined;
  /** Disconnects the proxies, lets requests end, closes the store. */
  stop(): Promise<void>;
}

/** How long requests in progress may take to end when control stops. */
const STOP_MAX_MS = 2000;

/** Starts everything. Throws where the address is taken. */
export function startControl(options: ControlOptions): Control {
  const { store, log, now, monotonic, listen } = options;
  const token = openToken(store, options.token);

  const debounce = createDebounce(() => gateway.publish(), options.debounce ?? DEBOUNCE, monotonic);
  const desired = createDesired({
    store,
    checkConfig: options.checkConfig,
    changed: () => {
      gateway.changed();
      debounce.changed();
    },
    dropped: (key, problems) =>
      log.error({ resource: renderKey(key), problems }, "a stored resource is not valid any more"),
    now,
  });
  const publicationFor: (identity: Identity) => Parsed<Publication> = publishFrom(() => desired.world());
  const taps = createTaps(
    (wanted) => gateway.watch(wanted),
    () => crypto.randomUUID(),
  );
  const rollouts = createRollouts({ store, desired, log, now });
  const gateway = createGateway({
    publicationFor,
    told: (message, { id }) => {
      if (message.kind === "trials") rollouts.told(message.trials, id);
      else taps.told(message, id);
    },
    timing: options.gateway,
    log,
    now,
  });
  const app = createApp({
    store,
    desired,
    gateway,
    rollouts,
    taps,
    now,
    deriveBundle: options.deriveBundle,
    checkToken: token.check,
    isLoopbackOnly: isLoopbackAddress(listen.host),
    failed: (error, path) => log.error({ error: String(error), path }, "a request failed"),
  });

  const server = Bun.serve<Peer>({
    hostname: listen.host,
    port: listen.port,
    // Above the API's own limits, whose refusals are problem documents.
    maxRequestBodySize: ARTIFACT_MAX_BYTES + 1024 * 1024,
    // Seconds; deriving a bundle takes a few, and a slow link needs its time.
    idleTimeout: 120,
    websocket: gateway.handler,
    fetch(request, self) {
      const remoteAddress = self.requestIP(request)?.address ?? "";
      if (new URL(request.url).pathname !== PUSH_PATH) {
        const bindings: Bindings = { remoteAddress };
        return app.fetch(request, bindings);
      }
      return connectProxy(request);
    },
  });

  function connectProxy(request: Request): Response | undefined {
    // A browser always says where the page came from, a proxy never does: no page reads snapshots through its visitor.
    const isForeign = isLoopbackAddress(listen.host) && !isLoopbackHost(request.headers.get("host") ?? undefined);
    if (request.headers.has("origin") || isForeign)
      return renderProblemReply(403, { detail: "only proxies connect here" });
    if (!gateway.accepts()) return renderProblemReply(503, { detail: "too many proxies are connected" });
    const data: Peer = { proxy: undefined, helloTimer: undefined };
    if (server.upgrade(request, { data })) return undefined;
    return renderProblemReply(400, { detail: `${PUSH_PATH} is a WebSocket` });
  }

  return {
    url: `http://${listen.host.includes(":") ? `[${listen.host}]` : listen.host}:${server.port}`,
    createdToken: token.created,
    async stop() {
      debounce.stop();
      gateway.stop();
      // Requests in progress end; a client that keeps its connection open does not hold up the stop.
      server.closeIdleConnections();
      await Promise.race([server.stop(), Bun.sleep(STOP_MAX_MS)]);
      await server.stop(true);
      store.close();
    },
  };
}
