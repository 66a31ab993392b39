// TLS towards both sides. Names are Istio's (PeerAuthentication, Gateway, DestinationRule), defaults too.
import { z } from "zod";
import { durationMs } from "./duration.ts";

/** A PEM document, or the path of a file that holds it. Files are read when a snapshot is applied. */
const Pem = z.string().min(1).max(1_048_576);

/** What a proxy shows of itself in the mesh, and whom it believes. */
export const Identity = z.strictObject({
  /** The workload's certificate, then its issuers up to the root. */
  certificateChain: Pem,
  privateKey: Pem,
  /** Roots of the mesh. */
  rootCertificates: Pem,
});
export type Identity = z.infer<typeof Identity>;

/** A certificate that is shown to clients who ask for one of its names. */
export const ServerCertificate = z.strictObject({
  /** The certificate, then its issuers. It answers for the DNS names in it, `*.` ones included. */
  serverCertificate: Pem,
  privateKey: Pem,
});
export type ServerCertificate = z.infer<typeof ServerCertificate>;

const Protocol = z.enum(["TLS_AUTO", "TLSV1_2", "TLSV1_3"]);

/**
 * How a port treats TLS. Of a PeerAuthentication: `DISABLE` (TLS is the application's own and passes as it came), `PERMISSIVE`
 * (mesh TLS is ended here, plaintext and other TLS pass), `STRICT` (mesh TLS alone). Of a Gateway: `SIMPLE`, `MUTUAL` (with a client
 * certificate), `OPTIONAL_MUTUAL` (one that is shown is checked), `ISTIO_MUTUAL` (as `STRICT`), `PASSTHROUGH` (as `DISABLE`).
 */
export const ServerTlsMode = z.enum([
  "DISABLE",
  "PERMISSIVE",
  "STRICT",
  "SIMPLE",
  "MUTUAL",
  "OPTIONAL_MUTUAL",
  "ISTIO_MUTUAL",
  "PASSTHROUGH",
]);
export type ServerTlsMode = z.infer<typeof ServerTlsMode>;

/** TLS from downstream. */
export const ServerTls = z.strictObject({
  /** Default `DISABLE`. */
  mode: ServerTlsMode.default("DISABLE"),
  /** The first is shown where no name fits. None: the proxy's identity. */
  certificates: z.array(ServerCertificate).max(1000).default([]),
  /** Roots that client certificates must lead to. Default the identity's. */
  caCertificates: Pem.optional(),
  /** A client certificate must have one of these, `spiffe://…` for URIs; empty, the default, takes each that verifies. */
  subjectAltNames: z.array(z.string().min(1).max(2048)).max(1000).default([]),
  /** Default `TLSV1_2`. */
  minProtocolVersion: Protocol.default("TLSV1_2"),
  /** `TLS_AUTO`, the default, is `TLSV1_3`. */
  maxProtocolVersion: Protocol.default("TLS_AUTO"),
  /** OpenSSL's names, for TLS 1.2; empty, the default, is a current list. */
  cipherSuites: z
    .array(z.string().regex(/^[A-Za-z0-9_-]{1,64}$/u))
    .max(100)
    .default([]),
  /** From a whole ClientHello to an open connection; then it is closed. `0` is never. Default 15 s. */
  handshakeTimeoutMs: durationMs(15_000),
});
export type ServerTls = z.infer<typeof ServerTls>;

/** TLS to upstream. */
export const ClientTls = z
  .strictObject({
    /** `ISTIO_MUTUAL` is `MUTUAL` with the proxy's identity. Default `DISABLE`. */
    mode: z.enum(["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]).default("DISABLE"),
    /** Name to ask for; empty, the default, asks for none. */
    sni: z.string().max(255).default(""),
    /** Roots to believe. Default those of the system, for `ISTIO_MUTUAL` the mesh's. */
    caCertificates: Pem.optional(),
    clientCertificate: Pem.optional(),
    privateKey: Pem.optional(),
    /** The server must have one of these, `spiffe://…` for URIs. Empty, the default: it must have `sni`, where that is given. */
    subjectAltNames: z.array(z.string().min(1).max(2048)).max(1000).default([]),
    /** Believes every server. */
    insecureSkipVerify: z.boolean().default(false),
    /** Protocols to offer; empty, the default, is what the cluster speaks. */
    alpn: z.array(z.string().min(1).max(255)).max(16).default([]),
  })
  .superRefine(({ mode, clientCertificate, privateKey }, context) => {
    if (mode !== "MUTUAL") return;
    for (const [name, value] of Object.entries({ clientCertificate, privateKey })) {
      if (value === undefined) context.addIssue({ code: "custom", path: [name], message: "is required for MUTUAL" });
    }
  });
export type ClientTls = z.infer<typeof ClientTls>;

/** A copy to show: private keys that stand in it are not in the copy. Paths of key files are. */
export function redactKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [
      key,
      key === "privateKey" && typeof inner === "string" && inner.includes("-----BEGIN")
        ? "[redacted]"
        : redactKeys(inner),
    ]),
  );
}
