// Envoy as a proxy to compare with, set up as Istio does: request id, statistics, the mesh's access log to a file.
import type { Certificate } from "./certificates.ts";
import { ready, type Peer, type PeerProxyOptions } from "./peers.ts";
import { freePort } from "./ports.ts";
import { startProgram } from "./program.ts";

/** One end's TLS: what it shows, and whom it asks the other end to be vouched for by. */
export interface EnvoyTls {
  readonly own?: Certificate;
  /** With it the other end must have a certificate of this authority. */
  readonly authority?: string;
}

export interface EnvoyOptions extends PeerProxyOptions {
  /** Tells apart two of them in one folder. Default `envoy`. */
  readonly name?: string;
  /** Default `http1`. */
  readonly downstream?: "http1" | "h2";
  /** Default `http1`. */
  readonly upstream?: "http1" | "h2";
  readonly downstreamTls?: EnvoyTls;
  readonly upstreamTls?: EnvoyTls;
  /** A proxy-wasm module on V8, whose root context has that name. */
  readonly wasm?: { readonly path: string; readonly root: string };
}

/** Starts it with one worker. */
export async function startEnvoy(options: EnvoyOptions): Promise<Peer> {
  const port = freePort();
  const name = options.name ?? "envoy";
  const file = options.folder.file(`${name}.json`);
  await Bun.write(file, JSON.stringify(envoyConfig(port, name, options)));
  const command = ["envoy", "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
  return ready(name, port, startProgram(command, options));
}

/** The access-log format that Istio gives Envoy, without a mesh's own fields. */
const ISTIO_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const TYPES = "type.googleapis.com/envoy.extensions";

function envoyConfig(port: number, name: string, options: EnvoyOptions): unknown {
  const manager = {
    "@type": `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "in",
    codec_type: options.downstream === "h2" ? "HTTP2" : "HTTP1",
    generate_request_id: true,
    access_log: [
      {
        name: "file",
        typed_config: {
          "@type": `${TYPES}.access_loggers.file.v3.FileAccessLog`,
          path: options.folder.file(`${name}-access.log`),
          log_format: { text_format_source: { inline_string: ISTIO_FORMAT } },
        },
      },
    ],
    route_config: {
      virtual_hosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "app", timeout: "0s" } }] },
      ],
    },
    http_filters: [
      ...wasmFilters(options.wasm),
      { name: "router", typed_config: { "@type": `${TYPES}.filters.http.router.v3.Router` } },
    ],
  };
  const chain = {
    filters: [{ name: "http", typed_config: manager }],
    ...transportSocket("DownstreamTlsContext", options.downstreamTls, options.downstream),
  };
  const cluster = {
    name: "app",
    type: "STATIC",
    load_assignment: {
      cluster_name: "app",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(options.upstreamPort) } }] }],
    },
    ...(options.upstream === "h2" ? HTTP2_UPSTREAM : {}),
    ...transportSocket("UpstreamTlsContext", options.upstreamTls, options.upstream),
  };
  return {
    static_resources: { listeners: [{ address: loopback(port), filter_chains: [chain] }], clusters: [cluster] },
  };
}

function wasmFilters(wasm: EnvoyOptions["wasm"]): readonly object[] {
  if (wasm === undefined) return [];
  const code = { local: { filename: wasm.path } };
  const config = { root_id: wasm.root, vm_config: { runtime: "envoy.wasm.runtime.v8", code } };
  return [{ name: "wasm", typed_config: { "@type": `${TYPES}.filters.http.wasm.v3.Wasm`, config } }];
}

const HTTP2_UPSTREAM = {
  typed_extension_protocol_options: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

function transportSocket(
  context: "DownstreamTlsContext" | "UpstreamTlsContext",
  tls: EnvoyTls | undefined,
  protocol: "http1" | "h2" | undefined,
): object {
  if (tls === undefined) return {};
  const { own, authority } = tls;
  const common = {
    alpn_protocols: [protocol === "h2" ? "h2" : "http/1.1"],
    ...(own === undefined
      ? {}
      : {
          tls_certificates: [{ certificate_chain: { filename: own.certificate }, private_key: { filename: own.key } }],
        }),
    ...(authority === undefined ? {} : { validation_context: { trusted_ca: { filename: authority } } }),
  };
  return {
    transport_socket: {
      name: "tls",
      typed_config: {
        "@type": `${TYPES}.transport_sockets.tls.v3.${context}`,
        common_tls_context: common,
        ...(context === "DownstreamTlsContext" && authority !== undefined ? { require_client_certificate: true } : {}),
      },
    },
  };
}

function loopback(port: number): unknown {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
