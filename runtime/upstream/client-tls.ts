// TLS to upstream: what we show, and whom we believe. Bun's own check of names knows no SPIFFE identity, so ours is made after
// the handshake and before the first byte of a request.
import type { ClientTls, Identity } from "../contract/tls.ts";
import type { Parsed } from "../contract/problem.ts";
import { hasName, parseAltNames } from "../listener/peer-certificate.ts";
import { encodeAlpn, type ContextCache, type SecureContext } from "../listener/secure-context.ts";

/** TLS to one cluster, compiled. */
export interface TlsClient {
  readonly context: SecureContext;
  readonly serverName: string;
  /** What ALPN offers, in wire format; empty for none. */
  readonly alpn: Readonly<Record<Offer, Buffer>>;
  /** Why the server is not to be believed, in Envoy's words; `undefined` where it is. */
  readonly refuse: (error: Error | null, altNames: string) => string | undefined;
}

/** What is to be spoken on a connection: `auto` leaves it to the server, `tcp` is whatever the downstream speaks. */
export type Offer = "http1" | "http2" | "auto" | "tcp";

const ALPN: Readonly<Record<Offer, readonly string[]>> = {
  http1: ["http/1.1"],
  http2: ["h2"],
  auto: ["h2", "http/1.1"],
  tcp: [],
};
/** Istio's names beside them tell the server that this is mesh TLS, not an application's own. */
const MESH_ALPN: Readonly<Record<Offer, readonly string[]>> = {
  http1: ["istio-http/1.1", "istio", "http/1.1"],
  http2: ["istio-h2", "istio", "h2"],
  auto: ["istio-h2", "istio-http/1.1", "istio", "h2", "http/1.1"],
  tcp: ["istio"],
};

/** OpenSSL's code of a failed verification, as Envoy prints it. */
const VERIFY_FAILED = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end";
/** Bun's check of the name, which is made after the chain was verified; ours replaces it. */
const NAME_MISMATCH = "ERR_TLS_CERT_ALTNAME_INVALID";
/** OpenSSL's verification errors. Bun says of them too that the handshake failed; what is none of them has broken it. */
const ABOUT_CERTIFICATES = /CERT|CRL|CHAIN|SIGNATURE|ISSUER|PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|VERIFY/u;

/** Loads keys and roots; `undefined` for plaintext. */
export function compileClientTls(
  config: ClientTls,
  identity: Identity | undefined,
  path: string,
  contexts: ContextCache,
): Parsed<TlsClient | undefined> {
  if (config.mode === "DISABLE") return { ok: true, value: undefined };
  const isMesh = config.mode === "ISTIO_MUTUAL";
  const source = {
    certificate: isMesh ? identity?.certificateChain : config.clientCertificate,
    privateKey: isMesh ? identity?.privateKey : config.privateKey,
    roots: config.caCertificates ?? (isMesh ? identity?.rootCertificates : "system"),
    minVersion: "TLSv1.2" as const,
    maxVersion: "TLSv1.3" as const,
  };
  const loaded = contexts.load(source, path);
  if (!loaded.ok) return loaded;
  const { insecureSkipVerify, subjectAltNames, sni } = config;
  const wanted = subjectAltNames.length > 0 || isMesh || sni === "" ? subjectAltNames : [sni];
  const names = isMesh ? MESH_ALPN : ALPN;
  const encode = (offer: Offer): Buffer => encodeAlpn(config.alpn.length > 0 ? config.alpn : names[offer]);
  return {
    ok: true,
    value: {
      context: loaded.value.context,
      serverName: sni,
      alpn: { http1: encode("http1"), http2: encode("http2"), auto: encode("auto"), tcp: encode("tcp") },
      refuse: (error, altNames) => {
        const code = error !== null && "code" in error ? String(error.code) : "";
        if (error !== null && !ABOUT_CERTIFICATES.test(code)) return `TLS_error:|${error.message}:TLS_error_end`;
        if (insecureSkipVerify) return undefined;
        if (error !== null && code !== NAME_MISMATCH) return VERIFY_FAILED;
        if (wanted.length === 0) return undefined;
        return hasName(parseAltNames(altNames), wanted) ? undefined : `${VERIFY_FAILED} (no wanted name)`;
      },
    },
  };
}
