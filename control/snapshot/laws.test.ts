// The law that binds both ends: what the API accepts, no proxy refuses.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { buildWorld, type Identity } from "../compile/world.ts";
import { parseResource, type Resource } from "../resource/resource.ts";
import { buildSnapshot } from "./build.ts";
import { checkSnapshot } from "./check.ts";

// Small alphabets on purpose, so that names collide, cover and shadow one another.
const namespace = fc.constantFrom("default", "shop", "istio-system");
const name = fc.constantFrom("a", "b", "c");
const HOSTS = ["a", "b", "A", "a.b", "a.default", "b.shop.svc", "a.default.svc.cluster.local", "x.a.b", "*.a.b", "*.b"];
const host = fc.constantFrom(...HOSTS);
const exportTo = fc.constantFrom([], ["."], ["*"], ["shop"]);
const version = fc.constantFrom("v1", "v2");
const text = fc.constantFrom("/", "/a", "/a/b", "x", "(", "a|b", "", "%%", "é");
const stringMatch = fc.oneof(
  fc.record({ exact: text }),
  fc.record({ prefix: text }),
  fc.record({ regex: text }),
  fc.constant({}),
);
const headers = fc.dictionary(fc.constantFrom("x-a", "X-A", "uri", "host", "te"), stringMatch, { maxKeys: 2 });
const edits = fc.record({
  set: fc.dictionary(fc.constantFrom("x-a", "host", "te", "b d"), text, { maxKeys: 1 }),
  remove: fc.subarray(["x-a", "connection"], { maxLength: 1 }),
});

const serviceEntry = fc.record({
  hosts: fc.array(host, { minLength: 1, maxLength: 2 }),
  resolution: fc.constantFrom("STATIC", "DNS"),
  ports: fc.constantFrom(
    [{ number: 80, name: "http" }],
    [
      { number: 80, name: "http", targetPort: 8080 },
      { number: 81, name: "b" },
    ],
    [{ number: 80, name: "tcp-a", protocol: "Redis" }],
    [
      { number: 443, name: "c", protocol: "TLS" },
      { number: 80, name: "grpc-web" },
    ],
  ),
  addresses: fc.constantFrom([], ["240.0.0.1"], ["10.0.0.0/8", "::1"]),
  endpoints: fc.array(
    fc.record({
      address: fc.constantFrom("10.0.0.1", "::1", "e.test"),
      labels: fc.record({ version }),
      weight: fc.constantFrom(1, 128),
    }),
    { maxLength: 2 },
  ),
  exportTo,
});
const tls = fc.record(
  {
    mode: fc.constantFrom("DISABLE", "SIMPLE", "MUTUAL"),
    sni: fc.constantFrom("", "a.test"),
    clientCertificate: fc.constant("/c.pem"),
    privateKey: fc.constant("/k.pem"),
    caCertificates: fc.constantFrom("system", "/ca.pem"),
  },
  { requiredKeys: ["mode"] },
);
const trafficPolicy = fc.record(
  {
    tls,
    portLevelSettings: fc.array(fc.record({ port: fc.record({ number: fc.constantFrom(80, 443) }), tls }), {
      maxLength: 2,
    }),
    proxyProtocol: fc.constantFrom({}, { version: "V2" }),
    loadBalancer: fc.record({ simple: fc.constantFrom("RANDOM", "LEAST_CONN", "UNSPECIFIED") }),
    connectionPool: fc.record({
      tcp: fc.record({
        maxConnections: fc.constantFrom(0, 1, 4_294_967_295),
        connectTimeout: fc.constantFrom("0s", "1h30m"),
      }),
      http: fc.record({
        http1MaxPendingRequests: fc.constantFrom(0, 4_294_967_295),
        maxRequestsPerConnection: fc.constantFrom(0, 1),
        maxConcurrentStreams: fc.constantFrom(0, 1),
        h2UpgradePolicy: fc.constantFrom("DEFAULT", "UPGRADE"),
        useClientProtocol: fc.boolean(),
      }),
    }),
  },
  { requiredKeys: [] },
);
const destinationRule = fc.record(
  {
    host,
    exportTo,
    trafficPolicy,
    subsets: fc
      .uniqueArray(version, { maxLength: 2 })
      .map((names) => names.map((own) => ({ name: own, labels: { version: own } }))),
  },
  { requiredKeys: ["host"] },
);
const destination = fc.record(
  { host, subset: version, port: fc.constantFrom({ number: 80 }, { number: 9 }) },
  { requiredKeys: ["host"] },
);
const route = fc.record(
  {
    name,
    match: fc.array(
      fc.record(
        {
          uri: stringMatch,
          method: stringMatch,
          authority: stringMatch,
          queryParams: fc.dictionary(fc.constantFrom("a", "é"), stringMatch, { maxKeys: 1 }),
          port: fc.constantFrom(80, 81),
          headers,
          withoutHeaders: headers,
          sourceNamespace: namespace,
        },
        { requiredKeys: [] },
      ),
      { maxLength: 2 },
    ),
    route: fc.array(fc.record({ destination, weight: fc.constantFrom(0, 1, 99) }), { minLength: 1, maxLength: 2 }),
    rewrite: fc.record({ uri: fc.constantFrom("/", "/z"), authority: host }, { requiredKeys: [] }),
    headers: fc.record({ request: edits, response: edits }, { requiredKeys: [] }),
    timeout: fc.constantFrom("0s", "1.5s"),
  },
  { requiredKeys: ["route"] },
);
const destinations = fc.array(fc.record({ destination, weight: fc.constantFrom(0, 1) }), {
  minLength: 1,
  maxLength: 2,
});
const l4 = {
  port: fc.constantFrom(80, 443),
  destinationSubnets: fc.constantFrom([], ["10.0.0.0/8", "fd00::/8"]),
  sourceNamespace: namespace,
};
const tcpRoute = fc.record({
  match: fc.array(fc.record(l4, { requiredKeys: [] }), { maxLength: 2 }),
  route: destinations,
});
const tlsRoute = fc.record({
  match: fc.array(
    fc.record({ ...l4, sniHosts: fc.constantFrom(["a.b"], ["x.a.b", "*.a.b"]) }, { requiredKeys: ["sniHosts"] }),
    {
      minLength: 1,
      maxLength: 2,
    },
  ),
  route: destinations,
});
const virtualService = fc.record({
  hosts: fc.array(host, { minLength: 1, maxLength: 2 }),
  http: fc.array(route, { maxLength: 2 }),
  tcp: fc.array(tcpRoute, { maxLength: 1 }),
  tls: fc.array(tlsRoute, { maxLength: 1 }),
  exportTo,
});
const sidecar = fc.record(
  {
    workloadSelector: fc.record({ labels: fc.record({ version }) }),
    outboundTrafficPolicy: fc.constantFrom({}, { mode: "ALLOW_ANY" }),
  },
  { requiredKeys: ["outboundTrafficPolicy"] },
);
const filter = fc.record(
  {
    builtin: fc.constantFrom("cors", "basic-auth", "header-rewrite"),
    stage: fc.constantFrom("authn", "observe"),
    selector: fc.record({ direction: fc.constantFrom("inbound", "outbound"), services: fc.subarray(["s"]) }),
  },
  { requiredKeys: ["builtin"] },
);

const document = fc
  .record({
    metadata: fc.record({ name, namespace }),
    body: fc.oneof(
      serviceEntry.map((spec) => ({ kind: "ServiceEntry", spec })),
      destinationRule.map((spec) => ({ kind: "DestinationRule", spec })),
      virtualService.map((spec) => ({ kind: "VirtualService", spec })),
      sidecar.map((spec) => ({ kind: "Sidecar", spec })),
      filter.map((spec) => ({ kind: "Filter", spec })),
    ),
  })
  .map(({ metadata, body }) => {
    const apiVersion = body.kind === "Filter" ? "vespid.dev/v1" : "networking.istio.io/v1";
    return Object.assign({ apiVersion, metadata }, body);
  });

/** What the API would have taken: documents that parse, one for each name. */
function accepted(documents: readonly unknown[]): readonly Resource[] {
  const byKey = new Map<string, Resource>();
  for (const raw of documents) {
    const parsed = parseResource(raw);
    if (!parsed.ok) continue;
    const { kind, metadata } = parsed.value;
    byKey.set(`${kind} ${metadata.namespace}/${metadata.name}`, parsed.value);
  }
  return [...byKey.values()];
}

test("what the API accepts, no proxy refuses", () => {
  let acceptedCount = 0;
  fc.assert(
    fc.property(fc.array(document, { maxLength: 10 }), namespace, (documents, own) => {
      const resources = accepted(documents);
      acceptedCount += resources.length;
      const identity: Identity = { service: "s", namespace: own, labels: { version: "v1" } };
      const checked = checkSnapshot(buildSnapshot(buildWorld(resources, new Map()), identity));
      expect(checked.ok ? [] : checked.problems).toEqual([]);
    }),
    { numRuns: 500 },
  );
  // The law says nothing if nothing is ever accepted.
  expect(acceptedCount).toBeGreaterThan(500);
});
