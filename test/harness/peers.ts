// nginx, HAProxy and Envoy as upstreams and as proxies to compare with, each from a configuration made on the spot.
import { freePort } from "./ports.ts";
import { startProgram, type Program } from "./program.ts";
import type { TempFolder } from "./temp-folder.ts";
import { until } from "./until.ts";

/** A program that listens. */
export interface Peer extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly program: Program;
}

export interface PeerOptions {
  /** Takes configuration and logs; lives as long as the peer. */
  readonly folder: TempFolder;
  /** Runs on this core alone. */
  readonly core?: number;
}

export interface PeerProxyOptions extends PeerOptions {
  /** What it proxies to, on loopback. */
  readonly upstreamPort: number;
}

/** Connections to the upstream that a proxy keeps for later. */
const KEPT_CONNECTIONS = 128;

/** nginx that answers every request with `body`; `locations` adds to its server block. */
export async function startNginxUpstream(options: PeerOptions & { body: string; locations?: string }): Promise<Peer> {
  const port = freePort();
  const server = `server {
    listen 127.0.0.1:${port};
    ${options.locations ?? ""}
    location / { default_type text/plain; return 200 "${options.body}"; }
  }`;
  return startNginx("upstream", port, options, `access_log off;\n${server}`);
}

/** nginx `proxy_pass` with persistent upstreams, a request id and an access log that is written in blocks, as Envoy's and ours are. */
export async function startNginxProxy(options: PeerProxyOptions): Promise<Peer> {
  const port = freePort();
  const http = `
  log_format mesh '[$time_iso8601] "$request" $status $body_bytes_sent $request_time $upstream_response_time '
                  '"$http_user_agent" "$request_id" "$host" "$upstream_addr" $remote_addr';
  access_log ${options.folder.file("nginx-access.log")} mesh buffer=64k flush=1s;
  upstream app { server 127.0.0.1:${options.upstreamPort}; keepalive ${KEPT_CONNECTIONS}; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Request-Id $request_id;
    }
  }`;
  return startNginx("nginx", port, options, http);
}

/** HAProxy with persistent upstreams, a request id and its HTTP log on a file descriptor. */
export async function startHaproxy(options: PeerProxyOptions): Promise<Peer> {
  const port = freePort();
  const file = options.folder.file("haproxy.cfg");
  await Bun.write(
    file,
    `global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${port}
  unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  default_backend app
backend app
  server app 127.0.0.1:${options.upstreamPort}
`,
  );
  // Its log goes to a file by the shell, so that nobody reads a pipe while it is measured.
  const command = ["sh", "-c", 'exec haproxy -db -f "$0" > "$1"', file, options.folder.file("haproxy-access.log")];
  return ready("haproxy", port, startProgram(command, options));
}

/** Envoy as Istio sets it up: request id, statistics and the mesh's access-log format to a file. */
export async function startEnvoy(options: PeerProxyOptions): Promise<Peer> {
  const port = freePort();
  const file = options.folder.file("envoy.json");
  await Bun.write(file, JSON.stringify(envoyConfig(port, options)));
  const command = ["envoy", "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"];
  return ready("envoy", port, startProgram(command, options));
}

/** The access-log format that Istio gives Envoy, without a mesh's own fields. */
const ISTIO_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

function envoyConfig(port: number, options: PeerProxyOptions): unknown {
  const types = "type.googleapis.com/envoy.extensions";
  const manager = {
    "@type": `${types}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "in",
    codec_type: "HTTP1",
    generate_request_id: true,
    access_log: [
      {
        name: "file",
        typed_config: {
          "@type": `${types}.access_loggers.file.v3.FileAccessLog`,
          path: options.folder.file("envoy-access.log"),
          log_format: { text_format_source: { inline_string: ISTIO_FORMAT } },
        },
      },
    ],
    route_config: {
      virtual_hosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "app", timeout: "0s" } }] },
      ],
    },
    http_filters: [{ name: "router", typed_config: { "@type": `${types}.filters.http.router.v3.Router` } }],
  };
  return {
    static_resources: {
      listeners: [
        {
          address: loopback(port),
          filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }],
        },
      ],
      clusters: [
        {
          name: "app",
          type: "STATIC",
          load_assignment: {
            cluster_name: "app",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(options.upstreamPort) } }] }],
          },
        },
      ],
    },
  };
}

function loopback(port: number): unknown {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}

async function startNginx(name: string, port: number, options: PeerOptions, http: string): Promise<Peer> {
  const { folder } = options;
  const file = folder.file(`${name}.conf`);
  // Every path that nginx writes to lies in the folder, so that it runs as any user.
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder.file(`${name}-${kind}`)};`)
    .join(" ");
  // Started as root, its workers would be another user, who may not enter the folder.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  await Bun.write(
    file,
    `${user} daemon off; worker_processes 1; pid ${folder.file(`${name}.pid`)}; error_log stderr warn;
events { worker_connections 4096; }
http { ${temporary} keepalive_requests 100000000;
${http}
}
`,
  );
  return ready(name, port, startProgram(["nginx", "-e", "stderr", "-c", file], options));
}

/** Waits until the peer answers; ends it when it does not. */
async function ready(name: string, port: number, program: Program): Promise<Peer> {
  try {
    await until(`${name} to answer on port ${port}`, async () => {
      program.assertRunning();
      try {
        const reply = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } });
        await reply.arrayBuffer();
        return reply.status;
      } catch {
        // Not listening yet.
        return undefined;
      }
    });
  } catch (error) {
    await program.stop();
    throw error;
  }
  return { name, port, program, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}
