// TLS from downstream: which certificate a client is shown, and what its own must be.
import { X509Certificate } from "node:crypto";
import type { Parsed, Problem } from "../contract/problem.ts";
import type { PortProtocol } from "../contract/tcp.ts";
import type { Identity, ServerTls, ServerTlsMode } from "../contract/tls.ts";
import { renderForwarded, uriOf } from "./forwarded-certificate.ts";
import { hasName, matchesHost, parseAltNames, principalOf } from "./peer-certificate.ts";
import { encodeAlpn, type ContextCache, type LoadedContext, type SecureContext } from "./secure-context.ts";

/** What a mode asks of a client. `none`: TLS is not ended here. */
export interface ModeRules {
  readonly plaintext: boolean;
  /** `mesh`: only where the client offers one of Istio's protocols; other TLS is the application's own. */
  readonly ends: "none" | "mesh" | "all";
  readonly clientCertificate: "none" | "optional" | "required";
}

/** What each mode means. */
export const MODE_RULES: Readonly<Record<ServerTlsMode, ModeRules>> = {
  DISABLE: { plaintext: true, ends: "none", clientCertificate: "none" },
  PASSTHROUGH: { plaintext: true, ends: "none", clientCertificate: "none" },
  PERMISSIVE: { plaintext: true, ends: "mesh", clientCertificate: "required" },
  STRICT: { plaintext: false, ends: "all", clientCertificate: "required" },
  ISTIO_MUTUAL: { plaintext: false, ends: "all", clientCertificate: "required" },
  MUTUAL: { plaintext: false, ends: "all", clientCertificate: "required" },
  OPTIONAL_MUTUAL: { plaintext: false, ends: "all", clientCertificate: "optional" },
  SIMPLE: { plaintext: false, ends: "all", clientCertificate: "none" },
};

/** Whether mesh TLS is on offer: Istio's own names for it. */
export function isMesh(alpn: readonly string[]): boolean {
  return alpn.some((name) => name === "istio" || name.startsWith("istio-"));
}

/** In the order of preference. `istio-peer-exchange` is not among them: it is a protocol of its own that is not spoken here. */
const HTTP_ALPN = ["h2", "http/1.1", "istio-h2", "istio-http/1.1", "http/1.0", "istio-http/1.0", "istio"];
/** A port that is declared `http` has an application of HTTP/1.1, which gets what the client speaks: browsers would choose h2. */
const HTTP1_ALPN = ["http/1.1", "istio-http/1.1", ...HTTP_ALPN];
const TCP_ALPN = ["istio"];
const PREFERRED: { readonly [protocol in PortProtocol]?: readonly string[] } = {
  http: HTTP1_ALPN,
  tcp: TCP_ALPN,
  mongo: TCP_ALPN,
  mysql: TCP_ALPN,
  redis: TCP_ALPN,
};

/** The one protocol to agree to, in wire format; empty where none is shared, which is no reason to fail (as Envoy does). */
export function chooseAlpn(offered: readonly string[], protocol: PortProtocol): Buffer {
  const chosen = (PREFERRED[protocol] ?? HTTP_ALPN).find((name) => offered.includes(name));
  return chosen === undefined ? Buffer.alloc(0) : encodeAlpn([chosen]);
}

/** Certificates by name, compiled for one generation. */
export interface TlsServer {
  readonly handshakeTimeoutMs: number;
  readonly pick: (serverName: string) => SecureContext;
  /** The principal of a verified client certificate, or why it is not accepted. */
  readonly admit: (altNames: string) => { readonly principal: string } | undefined;
  /** A client's certificate as the application is told of it, by the one of ours that was shown for that name. */
  readonly tell: (certificate: Buffer, serverName: string) => string;
}

/** Loads every certificate, or says what is wrong with each. `undefined` where there is nothing to show. */
export function compileTlsServer(
  config: ServerTls,
  identity: Identity | undefined,
  path: string,
  contexts: ContextCache,
): Parsed<TlsServer | undefined> {
  const own =
    identity === undefined ? [] : [{ serverCertificate: identity.certificateChain, privateKey: identity.privateKey }];
  const certificates = config.certificates.length > 0 ? config.certificates : own;
  const problems: Problem[] = [];
  const loaded = certificates.flatMap(({ serverCertificate, privateKey }, index) => {
    const source = {
      certificate: serverCertificate,
      privateKey,
      roots: config.caCertificates ?? identity?.rootCertificates,
      ciphers: config.cipherSuites.length === 0 ? undefined : config.cipherSuites.join(":"),
      minVersion: config.minProtocolVersion === "TLSV1_3" ? ("TLSv1.3" as const) : ("TLSv1.2" as const),
      maxVersion: config.maxProtocolVersion === "TLSV1_2" ? ("TLSv1.2" as const) : ("TLSv1.3" as const),
    };
    const result = contexts.load(source, `${path}.certificates[${index}]`);
    if (result.ok) return [result.value];
    problems.push(...result.problems);
    return [];
  });
  if (problems.length > 0) return { ok: false, problems };
  const [first] = loaded;
  if (first === undefined) return { ok: true, value: undefined };
  const pick = compilePick(loaded, first.context);
  const uris = new Map(loaded.map(({ context, certificatePem }) => [context, uriOf(certificatePem)]));
  return {
    ok: true,
    value: {
      handshakeTimeoutMs: config.handshakeTimeoutMs,
      pick,
      tell: (certificate, serverName) => renderForwarded(certificate, uris.get(pick(serverName)) ?? ""),
      admit: (text) => {
        const names = parseAltNames(text);
        if (config.subjectAltNames.length > 0 && !hasName(names, config.subjectAltNames)) return undefined;
        return { principal: principalOf(names) };
      },
    },
  };
}

/** Exact names before wildcards, the first certificate of several with one name, and the first of all where none fits. */
function compilePick(loaded: readonly LoadedContext[], fallback: SecureContext): TlsServer["pick"] {
  const exact = new Map<string, SecureContext>();
  const wildcards: { readonly pattern: string; readonly context: SecureContext }[] = [];
  for (const { context, certificatePem } of loaded) {
    const text = new X509Certificate(certificatePem).subjectAltName ?? "";
    for (const { kind, value } of parseAltNames(text)) {
      const name = value.toLowerCase();
      if (kind !== "DNS") continue;
      if (name.startsWith("*.")) wildcards.push({ pattern: name, context });
      else if (!exact.has(name)) exact.set(name, context);
    }
  }
  return function pickContext(serverName) {
    const found = exact.get(serverName) ?? wildcards.find(({ pattern }) => matchesHost(pattern, serverName))?.context;
    return found ?? fallback;
  };
}
