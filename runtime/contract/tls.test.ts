import { expect, test } from "bun:test";
import { parseSnapshot } from "./snapshot.ts";
import { redactKeys } from "./tls.ts";

const KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
const PEM = "-----BEGIN CERTIFICATE-----\ncHVibGlj\n-----END CERTIFICATE-----\n";

function problemsOf(snapshot: unknown): readonly string[] {
  const parsed = parseSnapshot(snapshot);
  return parsed.ok ? [] : parsed.problems.map(({ path }) => path);
}

test("keys are nowhere in what is shown, and everything else is", () => {
  const parsed = parseSnapshot({
    identity: { certificateChain: PEM, privateKey: KEY, rootCertificates: PEM },
    inbound: { tls: { mode: "SIMPLE", certificates: [{ serverCertificate: PEM, privateKey: KEY }] } },
    clusters: [
      { name: "a", endpoints: [], tls: { mode: "MUTUAL", clientCertificate: PEM, privateKey: KEY } },
      { name: "b", endpoints: [], tls: { mode: "MUTUAL", clientCertificate: "/c.pem", privateKey: "/c.key" } },
    ],
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const shown = JSON.stringify(redactKeys(parsed.value));
  expect(shown).not.toContain("c2VjcmV0");
  expect(shown.match(/\[redacted\]/gu)).toHaveLength(3);
  expect(shown).toContain("cHVibGlj");
  expect(shown).toContain("/c.key");
});

test("what a mode needs has to be there", () => {
  expect(problemsOf({ inbound: { tls: { mode: "SIMPLE" } } })).toEqual(["inbound.tls.certificates"]);
  expect(problemsOf({ inbound: { tls: { mode: "STRICT" } } })).toEqual([
    "inbound.tls.certificates",
    "inbound.tls.caCertificates",
  ]);
  expect(problemsOf({ inbound: { ports: [{ port: 1, tlsMode: "STRICT" }] } })).toHaveLength(2);
  expect(problemsOf({ clusters: [{ name: "a", endpoints: [], tls: { mode: "MUTUAL" } }] })).toEqual([
    "clusters[0].tls.clientCertificate",
    "clusters[0].tls.privateKey",
  ]);
  expect(problemsOf({ clusters: [{ name: "a", endpoints: [], tls: { mode: "ISTIO_MUTUAL" } }] })).toEqual([
    "clusters[0].tls.mode",
  ]);
});

test("routes and ports are checked", () => {
  const destinations = [{ cluster: "nowhere" }];
  expect(problemsOf({ outbound: { tcpRoutes: [{ destinations }] } })).toEqual([
    "outbound.tcpRoutes[0].destinations[0].cluster",
  ]);
  expect(problemsOf({ inbound: { ports: [{ port: 1 }, { port: 1 }] } })).toEqual(["inbound.ports[1].port"]);
  const match = { destinationSubnets: ["10.0.0.0/33"], sniHosts: ["a b"] };
  expect(problemsOf({ outbound: { tcpRoutes: [{ match, destinations }] } })).toEqual([
    "outbound.tcpRoutes[0].match.destinationSubnets[0]",
    "outbound.tcpRoutes[0].match.sniHosts[0]",
  ]);
});
