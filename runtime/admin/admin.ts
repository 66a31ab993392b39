// Health, metrics and what runs, for operators on this machine. Changes need POST, as in Envoy, so that a link cannot make one.

/** What the admin port shows. */
export interface AdminView {
  readonly isReady: () => boolean;
  /** Any JSON value, now or soon: workers may have to be asked. */
  readonly configDump: () => unknown;
  readonly clusters: () => string | Promise<string>;
  readonly stats: () => string | Promise<string>;
  /** Stops accepting and lets connections finish, as SIGTERM does, without ending the process. */
  readonly drain: () => void;
  /** Applies the snapshot file as it is now. Answers with why not. */
  readonly reload: () => Promise<string | undefined>;
  /** Hot restart, as SIGUSR2 does. Answers with why not. */
  readonly restart: () => Promise<string | undefined>;
}

/** A running admin port. */
export interface AdminServer {
  readonly port: number;
  stop(): Promise<void>;
}

const HELP = `GET  /ready             200 LIVE once a generation serves and until it drains, else 503
GET  /config_dump       the snapshot that runs, its version, and the state of sync
GET  /clusters          clusters and endpoints with their counts
GET  /stats/prometheus  metrics in Prometheus' text format
POST /drain             accept no more connections, let those open finish
POST /reload            apply --config as it is now, with the keys and certificates that it names
POST /restart           take over by the program as it is on disk now, without closing a port
`;

/** Opens the admin port. Throws with the system's code (`EADDRINUSE`) where it cannot. */
export function startAdmin(hostname: string, port: number, view: AdminView): AdminServer {
  const server = Bun.serve({
    hostname,
    port,
    async fetch(request) {
      // A page that a browser of this machine loaded is nobody's operator: it says where it came from when it posts, and
      // by DNS rebinding it reads only under a name that is not this machine's.
      const isForeign = LOOPBACK.test(hostname) && !LOOPBACK_HOST.test(request.headers.get("host") ?? "");
      if (request.headers.has("origin") || isForeign) return text("this port is for operators of this machine\n", 403);
      const { pathname } = new URL(request.url);
      if (pathname === "/drain") {
        if (request.method !== "POST") return text("drain changes this proxy: use POST\n", 405);
        view.drain();
        return text("OK\n");
      }
      if (pathname === "/reload") {
        if (request.method !== "POST") return text("reload changes this proxy: use POST\n", 405);
        const why = await view.reload();
        return why === undefined ? text("OK\n") : text(`not reloaded: ${why}\n`, 409);
      }
      if (pathname === "/restart") {
        if (request.method !== "POST") return text("restart changes this proxy: use POST\n", 405);
        const why = await view.restart();
        return why === undefined ? text("OK\n") : text(`not restarted: ${why}\n`, 409);
      }
      if (request.method !== "GET" && request.method !== "HEAD")
        return text(`${request.method} is not served here\n`, 405);
      switch (pathname) {
        case "/":
        case "/help":
          return text(HELP);
        case "/ready":
        case "/healthz/ready":
          return view.isReady() ? text("LIVE\n") : text("NOT READY\n", 503);
        case "/config_dump":
          return new Response(`${JSON.stringify(await view.configDump(), undefined, 2)}\n`, {
            headers: { "content-type": "application/json" },
          });
        case "/clusters":
          return text(await view.clusters());
        case "/stats/prometheus":
          return new Response(await view.stats(), {
            headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
          });
        default:
          return text(`${pathname} is not an admin path\n\n${HELP}`, 404);
      }
    },
  });
  return { port: server.port ?? port, stop: () => server.stop(true) };
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/iu;
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/iu;

function text(body: string, status = 200): Response {
  return new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
