// What Istio's resources say of protocols, TLS and TCP, against the snapshot that comes of it.
import { describe, expect, test } from "bun:test";
import type { Snapshot } from "../../runtime/contract/snapshot.ts";
import { snapshotOf } from "../../test/harness/snapshot-of.ts";

/** Resources in the order of their age; each line is a kind, a name and a spec. */
function mesh(...lines: readonly (readonly [kind: string, spec: string, namespace?: string])[]): string {
  return lines
    .map(
      ([kind, spec, namespace = "default"], index) =>
        `---\napiVersion: networking.istio.io/v1\nkind: ${kind}\nmetadata: { name: r${index}, namespace: ${namespace} }\nspec: ${spec}\n`,
    )
    .join("");
}

const service = (host: string, ports: string, more = ""): readonly [string, string] => [
  "ServiceEntry",
  `{ hosts: ["${host}"], resolution: STATIC, ports: [${ports}], endpoints: [{ address: 10.0.0.1 }]${more} }`,
];
const cluster = (snapshot: Snapshot, name: string) => snapshot.clusters.find((found) => found.name === name);
const domains = ({ outbound }: Snapshot) => outbound.virtualHosts.map(({ name }) => name);
/** Routes as one line each: what they match, and where they lead. */
const routes = ({ outbound }: Snapshot) =>
  outbound.tcpRoutes.map(({ match: { port, sniHosts, destinationSubnets }, destinations }) =>
    [
      port,
      ...sniHosts,
      ...destinationSubnets,
      "→",
      ...destinations.map(({ cluster: name, weight }) => `${name} ${weight}`),
    ].join(" "),
  );

/** What a port of two services is told to speak. */
const agreed = (first: string, second: string) =>
  snapshotOf(
    mesh(
      service("a.test", `{ number: 80, name: a, protocol: ${first} }`),
      service("b.test", `{ number: 80, name: b, protocol: ${second} }`),
    ),
  ).outbound.ports.map(({ protocol }) => protocol);
/** A rule's destination. */
const to = (host: string) => `route: [{ destination: { host: "${host}" } }]`;

describe("a port's protocol", () => {
  test.each([
    ["protocol: HTTP", "http", "http1", "host"],
    ["protocol: http", "http", "http1", "host"],
    ["protocol: HTTP2", "http2", "http2", "host"],
    ["protocol: GRPC", "grpc", "http2", "host"],
    ["protocol: gRPC-Web", "grpc-web", "http2", "host"],
    ["protocol: HTTPS", "https", "http1", "sni"],
    ["protocol: TLS", "tls", "http1", "sni"],
    ["protocol: TCP", "tcp", "http1", "port"],
    ["protocol: Mongo", "mongo", "http1", "port"],
    ["protocol: MySQL", "mysql", "http1", "port"],
    ["protocol: REDIS", "redis", "http1", "port"],
    ["name: grpc-api", "grpc", "http2", "host"],
    ["name: grpc-web", "grpc-web", "http2", "host"],
    ["name: tcp-cache", "tcp", "http1", "port"],
    ["name: httpish", undefined, "downstream", "any"],
    ["protocol: ''", undefined, "downstream", "any"],
  ])("%s", (said, protocol, spoken, by) => {
    const port = `{ number: 7000, ${said.startsWith("name") ? said : `name: p, ${said}`} }`;
    const snapshot = snapshotOf(mesh(service("a.test", port)));
    expect(snapshot.outbound).toMatchObject({ ports: protocol === undefined ? [] : [{ port: 7000, protocol }] });
    expect(cluster(snapshot, "outbound|7000||a.test")).toMatchObject({ protocol: spoken });
    expect(domains(snapshot)).toEqual(by === "host" || by === "any" ? ["a.test"] : []);
    const own = "→ outbound|7000||a.test 1";
    expect(routes(snapshot)).toEqual(by === "host" ? [] : by === "sni" ? [`7000 a.test ${own}`] : [`7000 ${own}`]);
  });

  test("that two services disagree about is what both can be", () => {
    expect(agreed("HTTP", "HTTP")).toEqual(["http"]);
    expect(agreed("HTTP2", "GRPC")).toEqual(["http"]);
    expect(agreed("HTTP", "GRPC-WEB")).toEqual(["grpc-web"]);
    expect(agreed("HTTPS", "TLS")).toEqual(["tls"]);
    expect(agreed("REDIS", "TCP")).toEqual(["tcp"]);
    expect(agreed("HTTP", "TCP")).toEqual([]);
  });

  test("reaches the service's own sidecar, at the ports of its endpoints", () => {
    const text = mesh([
      "ServiceEntry",
      `{ hosts: [shop], resolution: STATIC, ports: [{ number: 80, name: grpc, targetPort: 8080 }, { number: 6379, name: redis }],
         endpoints: [{ address: 10.0.0.1 }, { address: 10.0.0.2, ports: { grpc: 9090 }, labels: { version: v2 } }] }`,
    ]);
    const inbound = (version: string | undefined) =>
      snapshotOf(text, {
        service: "shop",
        namespace: "default",
        labels: version === undefined ? {} : { version },
      }).inbound.ports.map(({ port, protocol }) => [port, protocol]);
    expect(inbound(undefined)).toEqual([
      [6379, "redis"],
      [8080, "grpc"],
      [9090, "grpc"],
    ]);
    expect(inbound("v1")).toEqual([
      [6379, "redis"],
      [8080, "grpc"],
    ]);
    expect(snapshotOf(text).inbound.ports).toEqual([]);
  });
});

describe("a service with several ports", () => {
  const PORTS =
    "{ number: 9080, name: http }, { number: 9081, name: grpc, targetPort: 81 }, { number: 443, name: https }, { number: 6379, name: redis }";

  test("has a cluster for each, and requests go by the port that they call", () => {
    const snapshot = snapshotOf(mesh(service("a.test", PORTS)));
    expect(snapshot.clusters.map(({ name, endpoints }) => [name, endpoints[0]?.port])).toEqual([
      ["outbound|9081||a.test", 81],
      ["outbound|9080||a.test", 9080],
      ["outbound|443||a.test", 443],
      ["outbound|6379||a.test", 6379],
    ]);
    expect(snapshot.outbound.virtualHosts).toMatchObject([
      {
        port: 9080,
        routes: [
          { matches: [{ port: 9081 }], destinations: [{ cluster: "outbound|9081||a.test" }] },
          { matches: [], destinations: [{ cluster: "outbound|9080||a.test" }] },
        ],
      },
    ]);
  });

  test("answers to its addresses, and takes TCP that was for them alone", () => {
    const snapshot = snapshotOf(mesh(service("a.test", PORTS, ', addresses: [240.0.0.1, "2001:db8::1"]')));
    expect(snapshot.outbound.virtualHosts[0]?.domains).toEqual(["a.test", "240.0.0.1", "[2001:db8::1]"]);
    expect(routes(snapshot)).toEqual([
      // Its own address tells it, whatever name TLS asks for.
      "443 240.0.0.1 2001:db8::1 → outbound|443||a.test 1",
      "6379 240.0.0.1 2001:db8::1 → outbound|6379||a.test 1",
    ]);
    const network = snapshotOf(mesh(service("a.test", PORTS, ", addresses: [10.0.0.0/8]")));
    expect(network.outbound.virtualHosts[0]?.domains).toEqual(["a.test"]);
    expect(routes(network)).toEqual([
      "443 a.test 10.0.0.0/8 → outbound|443||a.test 1",
      "6379 10.0.0.0/8 → outbound|6379||a.test 1",
    ]);
  });
});

describe("a DestinationRule", () => {
  const HOST = service("a.test", "{ number: 80, name: http }, { number: 81, name: http-b }, { number: 82, name: tcp }");
  const built = (policy: string, name = "outbound|80||a.test", more = "") =>
    cluster(snapshotOf(mesh(HOST, ["DestinationRule", `{ host: a.test, trafficPolicy: ${policy}${more} }`])), name);

  test.each([
    ["{ tls: { mode: DISABLE, sni: x } }", { mode: "DISABLE" }],
    ["{ tls: { mode: SIMPLE } }", { mode: "SIMPLE", sni: "a.test", subjectAltNames: [], insecureSkipVerify: false }],
    ["{ tls: { mode: SIMPLE, sni: b.test, caCertificates: system } }", { sni: "b.test" }],
    ["{ tls: { mode: SIMPLE, caCertificates: /ca.pem } }", { caCertificates: "/ca.pem" }],
    [
      "{ tls: { mode: SIMPLE, subjectAltNames: [c.test], insecureSkipVerify: true } }",
      { subjectAltNames: ["c.test"], insecureSkipVerify: true },
    ],
    [
      "{ tls: { mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem } }",
      { mode: "MUTUAL", clientCertificate: "/c.pem", privateKey: "/k.pem" },
    ],
  ])("%s", (policy, tls) => {
    expect(built(policy)?.tls).toMatchObject(tls);
  });

  test.each([
    ["{}", { protocol: "http1" }],
    ["{ connectionPool: { http: { h2UpgradePolicy: UPGRADE } } }", { protocol: "http2" }],
    ["{ connectionPool: { http: { h2UpgradePolicy: DO_NOT_UPGRADE } } }", { protocol: "http1" }],
    ["{ connectionPool: { http: { h2UpgradePolicy: UPGRADE, useClientProtocol: true } } }", { protocol: "downstream" }],
    ["{ connectionPool: { http: { maxConcurrentStreams: 7 } } }", { http2: { maxConcurrentStreams: 7 } }],
    ["{ connectionPool: { tcp: { idleTimeout: 5s } } }", { idleTimeoutMs: 5000 }],
    ["{ connectionPool: { tcp: { idleTimeout: 5s }, http: { idleTimeout: 6s } } }", { idleTimeoutMs: 6000 }],
    ["{ proxyProtocol: {} }", { proxyProtocol: { version: "V1" } }],
    ["{ proxyProtocol: { version: V2 } }", { proxyProtocol: { version: "V2" } }],
  ])("%s gives a cluster", (policy, fields) => {
    expect(built(policy)).toMatchObject(fields);
  });

  test("of a port replaces what the rule says of all, also what it leaves out", () => {
    const policy = `{ loadBalancer: { simple: RANDOM }, tls: { mode: SIMPLE }, proxyProtocol: { version: V2 }, portLevelSettings: [
      { port: { number: 81 }, connectionPool: { tcp: { connectTimeout: 1s } } },
      { port: { number: 81 }, loadBalancer: { simple: ROUND_ROBIN } } ] }`;
    expect(built(policy)).toMatchObject({ balance: "random", tls: { mode: "SIMPLE" } });
    expect(built(policy, "outbound|81||a.test")).toMatchObject({
      balance: "least_request",
      connectTimeoutMs: 1000,
      tls: { mode: "DISABLE" },
      proxyProtocol: { version: "V2" },
    });
  });

  test("of a subset replaces groups of what holds for the port", () => {
    const snapshot = snapshotOf(
      mesh(
        HOST,
        [
          "DestinationRule",
          `{ host: a.test, trafficPolicy: { tls: { mode: SIMPLE }, portLevelSettings: [{ port: { number: 81 }, loadBalancer: { simple: RANDOM } }] },
             subsets: [{ name: v1, trafficPolicy: { connectionPool: { tcp: { connectTimeout: 2s } } } }] }`,
        ],
        [
          "VirtualService",
          "{ hosts: [a.test], http: [{ match: [{ port: 81 }], route: [{ destination: { host: a.test, subset: v1, port: { number: 81 } } }] }, { route: [{ destination: { host: a.test, subset: v1, port: { number: 80 } } }] }] }",
        ],
      ),
    );
    expect(cluster(snapshot, "outbound|80|v1|a.test")).toMatchObject({
      tls: { mode: "SIMPLE" },
      connectTimeoutMs: 2000,
      balance: "least_request",
    });
    expect(cluster(snapshot, "outbound|81|v1|a.test")).toMatchObject({
      tls: { mode: "DISABLE" },
      connectTimeoutMs: 2000,
      balance: "random",
    });
  });

  test("says how long a connection of TCP may be idle", () => {
    const rule = "{ host: a.test, trafficPolicy: { connectionPool: { tcp: { idleTimeout: 7s } } } }";
    expect(snapshotOf(mesh(HOST, ["DestinationRule", rule])).outbound.tcpRoutes[0]?.idleTimeoutMs).toBe(7000);
    expect(snapshotOf(mesh(HOST)).outbound.tcpRoutes[0]?.idleTimeoutMs).toBe(3_600_000);
  });
});

describe("a VirtualService of TCP", () => {
  const DB = service("db.test", "{ number: 27017, name: mongo }", ", addresses: [240.0.0.1]");
  const OTHER = service("other.test", "{ number: 9000, name: tcp }");
  const own = "→ outbound|27017||db.test 1";
  const split =
    "route: [{ destination: { host: db.test }, weight: 9 }, { destination: { host: other.test }, weight: 1 }]";
  const shares = "→ outbound|27017||db.test 9 outbound|9000||other.test 1";
  const ruled = (tcp: string) =>
    routes(snapshotOf(mesh(DB, OTHER, ["VirtualService", `{ hosts: [db.test], tcp: ${tcp} }`]))).filter((line) =>
      line.startsWith("27017"),
    );

  test.each([
    ["without a match takes all, by weight", `[{ ${split} }]`, [`27017 240.0.0.1 ${shares}`]],
    ["of its port too", `[{ match: [{ port: 27017 }], ${split} }]`, [`27017 240.0.0.1 ${shares}`]],
    ["of another port takes none", `[{ match: [{ port: 1 }], ${split} }]`, [`27017 240.0.0.1 ${own}`]],
    [
      "of networks comes before the service",
      `[{ match: [{ destinationSubnets: [10.1.0.0/16] }, { destinationSubnets: [10.2.0.0/16] }], ${split} }]`,
      [`27017 10.1.0.0/16 10.2.0.0/16 ${shares}`, `27017 240.0.0.1 ${own}`],
    ],
    [
      "of other proxies is none",
      `[{ match: [{ sourceLabels: { app: else } }, { sourceNamespace: shop }], ${split} }]`,
      [`27017 240.0.0.1 ${own}`],
    ],
    [
      "that takes all ends the list",
      `[{ match: [{ sourceLabels: { app: productpage }, gateways: [mesh] }], ${split} }, { route: [{ destination: { host: other.test } }] }]`,
      [`27017 240.0.0.1 ${shares}`],
    ],
    [
      "to a host that is not there has a cluster without endpoints",
      "[{ route: [{ destination: { host: gone.test, subset: v1 } }] }]",
      ["27017 240.0.0.1 → outbound|27017|v1|gone.test 1"],
    ],
  ])("%s", (_name, tcp, expected) => {
    expect(ruled(tcp)).toEqual(expected);
  });

  test("leaves the host's requests as they are", () => {
    const both = service("a.test", "{ number: 80, name: http }, { number: 81, name: tcp }");
    const text = mesh(both, OTHER, ["VirtualService", `{ hosts: [a.test], tcp: [{ ${split} }] }`]);
    expect(snapshotOf(text).outbound.virtualHosts[0]?.routes).toMatchObject([
      { destinations: [{ cluster: "outbound|80||a.test" }] },
    ]);
  });
});

test("more networks than one route holds are several routes", () => {
  const entries = [1, 2].map((from) => {
    const networks = Array.from({ length: 700 }, (_, at) => `10.${from}.${at >> 8}.${at & 255}`);
    return service("db.test", "{ number: 9000, name: tcp }", `, addresses: [${networks.join()}]`);
  });
  const { tcpRoutes } = snapshotOf(mesh(...entries)).outbound;
  expect(tcpRoutes.map(({ match }) => match.destinationSubnets.length)).toEqual([1000, 400]);
  expect(tcpRoutes[1]?.match.destinationSubnets.at(-1)).toBe("10.2.2.187");
});

describe("a VirtualService of TLS", () => {
  const SHOP = service("shop.test", "{ number: 443, name: tls }");
  const WIDE = service("*.wide.test", "{ number: 443, name: https }");

  test("routes names; a host that no rule of TLS is for answers to its own", () => {
    const text = mesh(SHOP, WIDE, [
      "VirtualService",
      `{ hosts: ["*.wide.test"], tls: [{ match: [{ sniHosts: [A.wide.test], port: 443 }], ${to("shop.test")} }, { match: [{ sniHosts: ["*.wide.test"], destinationSubnets: [10.0.0.0/8] }], ${to("*.wide.test")} }] }`,
    ]);
    expect(routes(snapshotOf(text))).toEqual([
      "443 shop.test → outbound|443||shop.test 1",
      "443 A.wide.test → outbound|443||shop.test 1",
      "443 *.wide.test 10.0.0.0/8 → outbound|443||*.wide.test 1",
    ]);
  });

  test("that is for other proxies or another port changes nothing", () => {
    const rules = `[{ match: [{ sniHosts: [shop.test], sourceLabels: { app: else } }, { sniHosts: [shop.test], port: 8443 }], ${to("gone.test")} }]`;
    const text = mesh(SHOP, ["VirtualService", `{ hosts: [shop.test], tls: ${rules} }`]);
    expect(routes(snapshotOf(text))).toEqual(["443 shop.test → outbound|443||shop.test 1"]);
  });
});

test("a request is matched by port, authority, scheme and query", () => {
  const text = mesh(service("a.test", "{ number: 80, name: http }"), [
    "VirtualService",
    `{ hosts: [a.test], http: [{ match: [{ port: 81, authority: { prefix: a. }, scheme: { exact: https }, queryParams: { q: { exact: "1" }, r: {} }, gateways: [mesh] }], route: [{ destination: { host: a.test } }] }] }`,
  ]);
  expect(snapshotOf(text).outbound.virtualHosts[0]?.routes[0]?.matches).toMatchObject([
    {
      port: 81,
      authority: { kind: "prefix", value: "a." },
      scheme: { kind: "exact", value: "https" },
      queryParams: { q: { kind: "exact", value: "1" }, r: { kind: "present" } },
    },
  ]);
});

/** A line of `mesh`. */
function sidecar(policy: string, namespace = "default"): readonly [string, string, string] {
  return ["Sidecar", `{ outboundTrafficPolicy: ${policy} }`, namespace];
}

test.each([
  ["none", [], "ALLOW_ANY"],
  ["its namespace's", [sidecar("{}")], "REGISTRY_ONLY"],
  ["not another namespace's", [sidecar("{}", "shop")], "ALLOW_ANY"],
  ["the root's", [sidecar("{}", "istio-system")], "REGISTRY_ONLY"],
  ["its namespace's before the root's", [sidecar("{}", "istio-system"), sidecar("{ mode: ALLOW_ANY }")], "ALLOW_ANY"],
  [
    "the workload's before all",
    [sidecar("{}"), sidecar("{ mode: ALLOW_ANY }, workloadSelector: { labels: { app: productpage } }")],
    "ALLOW_ANY",
  ],
  [
    "not another workload's",
    [sidecar("{}"), sidecar("{ mode: ALLOW_ANY }, workloadSelector: { labels: { app: else } }")],
    "REGISTRY_ONLY",
  ],
  ["the oldest of several", [sidecar("{ mode: ALLOW_ANY }"), sidecar("{}")], "ALLOW_ANY"],
] as const)("a Sidecar says what becomes of calls to nobody known: %s", (_name, sidecars, expected) => {
  expect(snapshotOf(mesh(...sidecars)).outbound.outboundPolicy).toBe(expected);
});
