// What the application is told of a client's certificate, which TLS ended here and it cannot see: one element of
// `x-forwarded-client-cert`, with the fields that Istio has Envoy say.
import { createHash, X509Certificate } from "node:crypto";
import { parseAltNames } from "./peer-certificate.ts";

/**
 * `By=…;Hash=…;Subject="…";URI=…;DNS=…`: our own URI, the SHA-256 of the certificate (DER), its subject (RFC 2253) and its
 * names, each of them. `own` is empty where our certificate has no URI.
 */
export function renderForwarded(certificate: Buffer, own: string): string {
  const { subject, subjectAltName = "" } = new X509Certificate(certificate);
  const parts = own === "" ? [] : [`By=${quoted(own)}`];
  parts.push(`Hash=${createHash("sha256").update(certificate).digest("hex")}`);
  parts.push(`Subject="${renderSubject(subject)}"`);
  const names = parseAltNames(subjectAltName);
  for (const { kind, value } of names) if (kind === "URI") parts.push(`URI=${quoted(value)}`);
  for (const { kind, value } of names) if (kind === "DNS") parts.push(`DNS=${quoted(value)}`);
  return parts.join(";");
}

/** The URI in a certificate of ours; empty where there is none. */
export function uriOf(certificatePem: string): string {
  const names = parseAltNames(new X509Certificate(certificatePem).subjectAltName ?? "");
  return names.find(({ kind }) => kind === "URI")?.value ?? "";
}

/** The last part first; Node has a part a line, each escaped as RFC 2253 asks, quotes too. */
function renderSubject(subject: string | undefined): string {
  return ascii((subject ?? "").split("\n").toReversed().join(","));
}

/** A value with a separator in it stands in quotes, or a certificate could make up elements of its own. */
function quoted(value: string): string {
  const text = ascii(value);
  return /[,;=" \\]/u.test(text) ? `"${text.replaceAll(/["\\]/gu, "\\$&")}"` : text;
}

/** What is no visible ASCII, as RFC 4514 §2.4 writes it: its bytes, `\C3\B6`. */
function ascii(text: string): string {
  return text.replaceAll(/[^\u0020-\u007e]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `\\${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}
