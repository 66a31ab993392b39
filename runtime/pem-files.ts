// Keys and certificates that a snapshot names by path, read when it is applied: from there on only their content counts, so
// that a renewed file is a change like every other.
import { readFileSync } from "node:fs";
import type { Parsed, Problem } from "./contract/problem.ts";
import type { Snapshot } from "./contract/snapshot.ts";

/** Fields of TLS that hold a PEM document or the path of one. */
const FIELDS = new Set([
  "serverCertificate",
  "privateKey",
  "caCertificates",
  "clientCertificate",
  "certificateChain",
  "rootCertificates",
]);

/** Characters of the longest path that is shown and tried. */
const PATH_MAX = 200;

/** The snapshot with every such path replaced by what the file holds. */
export function inlinePems(snapshot: Snapshot): Parsed<Snapshot> {
  const problems: Problem[] = [];
  const { identity, inbound, outbound } = snapshot;
  const inlined: Snapshot = {
    ...snapshot,
    identity: identity === undefined ? undefined : inline(identity, "identity", problems),
    inbound: { ...inbound, tls: inline(inbound.tls, "inbound.tls", problems) },
    outbound: { ...outbound, tls: inline(outbound.tls, "outbound.tls", problems) },
    clusters: snapshot.clusters.map((cluster, index) =>
      cluster.tls.mode === "DISABLE" ? cluster : inline(cluster, `clusters[${index}]`, problems),
    ),
  };
  return problems.length === 0 ? { ok: true, value: inlined } : { ok: false, problems };
}

/** A copy in which the fields are documents. */
function inline<T extends object>(value: T, path: string, problems: Problem[]): T {
  const copy = structuredClone(value);
  fillIn(copy, path, problems);
  return copy;
}

function fillIn(value: object, path: string, problems: Problem[]): void {
  for (const [key, inner] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
    if (typeof inner === "object" && inner !== null) fillIn(inner, at, problems);
    else if (FIELDS.has(key) && typeof inner === "string") Reflect.set(value, key, readPem(inner, at, problems));
  }
}

function readPem(value: string, path: string, problems: Problem[]): string {
  if (value.includes("-----BEGIN")) return value;
  // A key that was pasted without its frame must not come back in a message.
  const shown = value.length <= PATH_MAX ? JSON.stringify(value) : "a text that is no PEM and no path";
  try {
    const text = value.length <= PATH_MAX ? readFileSync(value, "utf8") : "";
    if (text.includes("-----BEGIN")) return text;
    problems.push({ path, message: `${shown} holds no PEM` });
  } catch (error) {
    problems.push({ path, message: `cannot read ${shown}: ${codeOf(error)}` });
  }
  return value;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "it cannot be opened";
}
