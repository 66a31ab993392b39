// nginx and HAProxy as upstreams and as proxies to compare with, each from a configuration made on the spot.
import type { Certificate } from "./certificates.ts";
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

/** nginx `proxy_pass`, with TLS in front where it has a certificate, with persistent upstreams, a request id and an access log that is written in blocks, as Envoy's and ours are. */
export async function startNginxProxy(options: PeerProxyOptions & { tls?: Certificate }): Promise<Peer> {
  const port = freePort();
  const { tls } = options;
  const http = `
  log_format mesh '[$time_iso8601] "$request" $status $body_bytes_sent $request_time $upstream_response_time '
                  '"$http_user_agent" "$request_id" "$host" "$upstream_addr" $remote_addr';
  access_log ${options.folder.file("nginx-access.log")} mesh buffer=64k flush=1s;
  upstream app { server 127.0.0.1:${options.upstreamPort}; keepalive ${KEPT_CONNECTIONS}; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port}${tls === undefined ? "" : " ssl"};
    ${tls === undefined ? "" : `ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};`}
    client_max_body_size 0;
    location / {
      proxy_request_buffering off;
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Request-Id $request_id;
    }
  }`;
  return startNginx("nginx", port, options, http);
}

/** HAProxy with persistent upstreams, a request id and its log on a file descriptor: HTTP, or bytes. */
export async function startHaproxy(
  options: PeerProxyOptions & { kind?: "http1" | "h2" | "tcp"; tls?: Certificate },
): Promise<Peer> {
  const port = freePort();
  const { kind = "http1", folder, upstreamPort, tls } = options;
  const name = `haproxy-${kind}${tls === undefined ? "" : "-tls"}`;
  const file = folder.file(`${name}.cfg`);
  const proto = kind === "h2" ? " proto h2" : "";
  let bind = `127.0.0.1:${port}${proto}`;
  if (tls !== undefined) {
    // It wants certificate and key in one file.
    const pem = folder.file(`${name}.pem`);
    await Bun.write(pem, `${await Bun.file(tls.certificate).text()}${await Bun.file(tls.key).text()}`);
    bind = `127.0.0.1:${port} ssl crt ${pem} alpn ${kind === "h2" ? "h2,http/1.1" : "http/1.1"}`;
  }
  const http = `  mode http
  option httplog
  http-reuse always`;
  const requestId = `  unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id`;
  await Bun.write(
    file,
    `global
  nbthread 1
  maxconn 8192
  log stdout format raw local0
defaults
  log global
${kind === "tcp" ? "  mode tcp\n  option tcplog" : http}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind ${bind}
${kind === "tcp" ? "" : requestId}
  default_backend app
backend app
  server app 127.0.0.1:${upstreamPort}${proto}
`,
  );
  // Its log goes to a file by the shell, so that nobody reads a pipe while it is measured.
  const command = ["sh", "-c", 'exec haproxy -db -f "$0" > "$1"', file, folder.file(`${name}.log`)];
  return ready("haproxy", port, startProgram(command, options));
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

/** Waits until the peer accepts connections; ends it when it does not. */
export async function ready(name: string, port: number, program: Program): Promise<Peer> {
  try {
    await until(`${name} to accept connections on port ${port}`, async () => {
      program.assertRunning();
      try {
        const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
        socket.terminate();
        return true;
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
