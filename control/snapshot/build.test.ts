// Istio's resources, as the Bookinfo tutorial uses them, against the snapshot that comes of them.
import { describe, expect, test } from "bun:test";
import type { Snapshot } from "../../runtime/contract/snapshot.ts";
import { PRODUCTPAGE, snapshotOf } from "../../test/harness/snapshot-of.ts";
import type { Identity } from "../compile/world.ts";
import { checkSnapshot } from "./check.ts";

const api = "apiVersion: networking.istio.io/v1";
const entry = (name: string, rest: string, namespace = "default") => `
---
${api}
kind: ServiceEntry
metadata: { name: ${name}, namespace: ${namespace} }
spec: { resolution: STATIC, ports: [{ number: 9080, name: http, protocol: HTTP }], ${rest} }
`;
const REVIEWS = entry(
  "reviews",
  `hosts: [reviews], endpoints: [
    { address: 10.0.0.1, labels: { version: v1 } }, { address: 10.0.0.2, ports: { http: 8082 }, labels: { version: v2 }, weight: 3 },
    { address: 10.0.0.3, labels: { version: v3 } } ]`,
);
const SUBSETS = `
---
${api}
kind: DestinationRule
metadata: { name: reviews }
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: { simple: RANDOM }
    connectionPool: { tcp: { maxConnections: 100000, connectTimeout: 1.5s }, http: { http2MaxRequests: 7 } }
  subsets:
    - { name: v1, labels: { version: v1 } }
    - name: v2
      labels: { version: v2 }
      trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN }, connectionPool: { http: { http1MaxPendingRequests: 3 } } }
    - { name: v3, labels: { version: v3 } }
`;
const virtualService = (spec: string, name = "reviews", metadata = "") => `
---
${api}
kind: VirtualService
metadata: { name: ${name}${metadata} }
spec:
${spec}
`;
const FULL = "reviews.default.svc.cluster.local";
const host = (snapshot: Snapshot, name: string) => snapshot.outbound.virtualHosts.find((found) => found.name === name);
const cluster = (snapshot: Snapshot, name: string) => snapshot.clusters.find((found) => found.name === name);

const rule = (hosts: string, name: string) =>
  virtualService(
    `  hosts: [${hosts}]\n  http: [{ name: ${name}, route: [{ destination: { host: a.example.com } }] }]`,
    name,
  );
const filter = (name: string, spec: string, namespace = "default") => `
---
apiVersion: vespid.dev/v1
kind: Filter
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;
const versionOf = (text: string) => {
  const checked = checkSnapshot(snapshotOf(text));
  return checked.ok ? checked.value.version : undefined;
};

describe("a host that only a ServiceEntry declares", () => {
  test("answers to its names, by a default route to all of its endpoints", () => {
    const snapshot = snapshotOf(REVIEWS);
    expect(snapshot.outbound.virtualHosts).toMatchObject([
      {
        domains: [FULL, "reviews", "reviews.default", "reviews.default.svc"],
        routes: [{ matches: [], destinations: [{ cluster: `outbound|9080||${FULL}` }] }],
      },
    ]);
    expect(cluster(snapshot, `outbound|9080||${FULL}`)).toMatchObject({
      balance: "least_request",
      connectTimeoutMs: 10_000,
      endpoints: [
        { address: "10.0.0.1", port: 9080, weight: 1 },
        { address: "10.0.0.2", port: 8082, weight: 3 },
        { address: "10.0.0.3", port: 9080 },
      ],
    });
  });

  test("has its short name only in its own namespace", () => {
    const snapshot = snapshotOf(REVIEWS, { ...PRODUCTPAGE, namespace: "other" });
    expect(host(snapshot, FULL)?.domains).toEqual([FULL, "reviews.default", "reviews.default.svc"]);
  });

  test("is its own address with DNS and no endpoints, and keeps a full name as it is", () => {
    const snapshot = snapshotOf(`${api}
kind: ServiceEntry
metadata: { name: books }
spec: { hosts: [books.example.com], resolution: DNS, ports: [{ number: 80, name: http, targetPort: 8080 }] }`);
    expect(snapshot.outbound.virtualHosts).toMatchObject([{ domains: ["books.example.com"] }]);
    expect(snapshot.clusters).toMatchObject([{ endpoints: [{ address: "books.example.com", port: 8080 }] }]);
  });

  test("is seen where it is exported to, and the own namespace's goes before an older one elsewhere", () => {
    const shared = "hosts: [api.test], endpoints: [{ address: 10.1.1.1 }]";
    const own = "hosts: [api.test], endpoints: [{ address: 10.2.2.2 }]";
    const text = entry("a", shared, "first") + entry("b", own, "default");
    expect(snapshotOf(text).clusters[0]?.endpoints).toMatchObject([{ address: "10.2.2.2" }]);
    expect(snapshotOf(text, { ...PRODUCTPAGE, namespace: "third" }).clusters[0]?.endpoints).toMatchObject([
      { address: "10.1.1.1" },
    ]);
    expect(snapshotOf(entry("a", `${shared}, exportTo: ["."]`, "first")).clusters).toEqual([]);
    expect(snapshotOf(entry("a", `${shared}, exportTo: [default]`, "first")).clusters).toHaveLength(1);
  });

  test("that two entries of a namespace declare is one service with the endpoints of both", () => {
    const one = entry("a", "hosts: [api.test], endpoints: [{ address: 10.1.1.1 }]");
    const two = entry("b", "hosts: [api.test], endpoints: [{ address: 10.1.1.2 }]");
    expect(snapshotOf(one + two).clusters[0]?.endpoints.map(({ address }) => address)).toEqual([
      "10.1.1.1",
      "10.1.1.2",
    ]);
  });
});

describe("subsets", () => {
  const canary = virtualService(`
  hosts: [reviews]
  http:
    - route:
        - { destination: { host: reviews, subset: v1 }, weight: 90 }
        - { destination: { host: reviews, subset: v2 }, weight: 10 }`);

  test("share a route's requests by weight, each with the endpoints that have its labels", () => {
    const snapshot = snapshotOf(REVIEWS + SUBSETS + canary);
    expect(host(snapshot, FULL)?.routes).toMatchObject([
      {
        destinations: [
          { cluster: `outbound|9080|v1|${FULL}`, weight: 90 },
          { cluster: `outbound|9080|v2|${FULL}`, weight: 10 },
        ],
      },
    ]);
    expect(cluster(snapshot, `outbound|9080|v2|${FULL}`)?.endpoints).toMatchObject([{ address: "10.0.0.2" }]);
  });

  test("take over their rule's policy, but for the groups that they have themselves", () => {
    const snapshot = snapshotOf(REVIEWS + SUBSETS + canary);
    expect(cluster(snapshot, `outbound|9080|v1|${FULL}`)).toMatchObject({
      balance: "random",
      connectTimeoutMs: 1500,
      // Beyond what one proxy can have open.
      limits: { maxConnections: 65_535, maxRequests: 7, maxPendingRequests: 1024 },
    });
    expect(cluster(snapshot, `outbound|9080|v2|${FULL}`)).toMatchObject({
      balance: "round_robin",
      connectTimeoutMs: 10_000,
      limits: { maxConnections: 1024, maxPendingRequests: 3, maxRequests: 4_294_967_295 },
    });
  });

  test("that no rule has, and hosts that nobody declared, are clusters without endpoints: 503, as Istio answers", () => {
    const wrong = virtualService(`
  hosts: [reviews]
  http:
    - route:
        - { destination: { host: reviews, subset: v9 }, weight: 1 }
        - { destination: { host: nowhere.test, port: { number: 81 } }, weight: 1 }`);
    const snapshot = snapshotOf(REVIEWS + SUBSETS + wrong);
    expect(snapshot.clusters.map(({ name, endpoints }) => [name, endpoints.length])).toEqual([
      [`outbound|9080|v9|${FULL}`, 0],
      ["outbound|81||nowhere.test", 0],
    ]);
  });

  test("of rules in the client's namespace go before those in the service's", () => {
    const mine = SUBSETS.replace("{ name: reviews }", "{ name: mine, namespace: shop }")
      .replace("host: reviews", `host: ${FULL}`)
      .replace("simple: RANDOM", "simple: ROUND_ROBIN");
    const snapshot = snapshotOf(REVIEWS + SUBSETS + mine, { ...PRODUCTPAGE, namespace: "shop" });
    expect(snapshot.clusters[0]?.balance).toBe("round_robin");
    expect(snapshotOf(REVIEWS + SUBSETS + mine).clusters[0]?.balance).toBe("random");
  });
});

describe("a VirtualService", () => {
  test("tries its rules in order: jason gets v2, everyone else v1", () => {
    const snapshot = snapshotOf(
      REVIEWS +
        SUBSETS +
        virtualService(`
  hosts: [reviews]
  http:
    - match: [{ headers: { End-User: { exact: jason } } }]
      route: [{ destination: { host: reviews, subset: v2 } }]
    - route: [{ destination: { host: reviews, subset: v1 } }]`),
    );
    expect(host(snapshot, FULL)?.routes).toMatchObject([
      { matches: [{ headers: { "end-user": { kind: "exact", value: "jason" } } }], destinations: [{ weight: 1 }] },
      { matches: [], destinations: [{ cluster: `outbound|9080|v1|${FULL}`, weight: 1 }] },
    ]);
  });

  test("says how to match, rewrite, edit and how long to wait", () => {
    const snapshot = snapshotOf(
      REVIEWS +
        virtualService(`
  hosts: [reviews]
  http:
    - name: all
      match:
        - { uri: { prefix: /api }, ignoreUriCase: true, method: { regex: GET|HEAD }, headers: { x-a: {}, uri: { exact: ignored } } }
        - { withoutHeaders: { x-b: { prefix: b } } }
      rewrite: { uri: /v2, authority: other.test }
      timeout: 2.5s
      headers: { request: { set: { x-rate: 5%% }, remove: [x-old] }, response: { add: { x-new: "1" } } }
      route: [{ destination: { host: reviews, port: { number: 9080 } }, headers: { response: { set: { x-to: v1 } } } }]`),
    );
    expect(host(snapshot, FULL)?.routes).toMatchObject([
      {
        name: "all",
        matches: [
          {
            path: { kind: "prefix", value: "/api" },
            ignoreCase: true,
            method: { kind: "regex", value: "GET|HEAD" },
            headers: { "x-a": { kind: "present" } },
          },
          // Without a path, the prefix / is what a rewrite replaces, as in Envoy.
          { path: { kind: "prefix", value: "/" }, withoutHeaders: { "x-b": { kind: "prefix", value: "b" } } },
        ],
        prefixRewrite: "/v2",
        authorityRewrite: "other.test",
        timeoutMs: 2500,
        requestHeaders: { set: { "x-rate": "5%" }, remove: ["x-old"] },
        responseHeaders: { add: { "x-new": "1" } },
        destinations: [{ responseHeaders: { set: { "x-to": "v1" } } }],
      },
    ]);
    expect(Object.keys(host(snapshot, FULL)?.routes[0]?.matches[0]?.headers ?? {})).toEqual(["x-a"]);
  });

  test("gives a rule only to the proxies that its matches are for", () => {
    const text =
      REVIEWS +
      virtualService(`
  hosts: [reviews]
  http:
    - name: mine
      match: [{ sourceLabels: { app: productpage } }, { sourceNamespace: shop }]
      route: [{ destination: { host: reviews } }]
    - name: rest
      route: [{ destination: { host: reviews } }]`);
    const names = (identity: Identity) => host(snapshotOf(text, identity), FULL)?.routes.map(({ name }) => name);
    expect(names(PRODUCTPAGE)).toEqual(["mine", "rest"]);
    expect(names({ ...PRODUCTPAGE, labels: {} })).toEqual(["rest"]);
    expect(names({ ...PRODUCTPAGE, labels: {}, namespace: "shop" })).toEqual(["mine", "rest"]);
  });

  test("with the most exact host holds, then the oldest", () => {
    const text =
      entry("a", "hosts: [a.example.com, b.x.example.com], endpoints: [{ address: 10.0.0.1 }]") +
      rule('"*.example.com"', "wide") +
      rule("a.example.com", "exact") +
      rule("a.example.com", "late") +
      rule('"*.x.example.com"', "narrow") +
      rule('"*.other.test"', "alone");
    const snapshot = snapshotOf(text);
    const names = snapshot.outbound.virtualHosts.map(({ name, routes }) => [name, routes[0]?.name]);
    expect(names).toEqual([
      ["a.example.com", "exact"],
      ["b.x.example.com", "narrow"],
      ["*.other.test", "alone"],
    ]);
  });

  test("of a host without a service answers by that name", () => {
    const snapshot = snapshotOf(
      REVIEWS +
        virtualService("  hosts: [shop.test]\n  http: [{ route: [{ destination: { host: reviews } }] }]", "shop"),
    );
    expect(host(snapshot, "shop.test")).toMatchObject({
      domains: ["shop.test"],
      routes: [{ destinations: [{ cluster: `outbound|9080||${FULL}` }] }],
    });
  });
});

describe("a Filter", () => {
  test("is in the chains of the proxies that its selector chooses, in its direction", () => {
    const text =
      filter("all", "{ builtin: cors, config: { a: 1 } }") +
      filter(
        "page",
        "{ builtin: header-rewrite, stage: observe, priority: 5, selector: { services: [productpage], direction: outbound } }",
      ) +
      filter("labelled", "{ builtin: cors, selector: { labels: { app: reviews } } }") +
      filter("elsewhere", "{ builtin: cors }", "shop") +
      filter("all", "{ builtin: basic-auth, failurePolicy: open }", "istio-system");
    const { inbound, outbound } = snapshotOf(text);
    expect(inbound.filters).toMatchObject([
      { name: "default/all", stage: "authn", config: { a: 1 }, failurePolicy: "closed" },
      { name: "istio-system/all", failurePolicy: "open" },
    ]);
    expect(outbound.filters).toMatchObject([{ name: "default/page", stage: "observe", priority: 5 }]);
  });
});

test("a filter's upstreams are clusters of the snapshot, of the filter's own namespace, and its limits pass on", () => {
  const use = `{ builtin: cors, limits: { fuel: 5000, deadlineMs: 70, operationsMax: 2 }, upstreams: {
    users: { host: reviews, port: 9080, subset: v1, timeout: 250ms, authority: users.test }, other: { host: reviews } } }`;
  const snapshot = snapshotOf(REVIEWS + SUBSETS + filter("asks", use));
  const [asks] = snapshot.inbound.filters;
  expect(asks?.upstreams).toEqual({
    users: { cluster: `outbound|9080|v1|${FULL}`, timeoutMs: 250, authority: "users.test" },
    other: { cluster: `outbound|9080||${FULL}`, timeoutMs: 1000 },
  });
  expect(asks?.limits).toMatchObject({ fuel: 5000, deadlineMs: 70, operationsMax: 2, callsMax: 1_000_000 });
  expect(cluster(snapshot, `outbound|9080|v1|${FULL}`)?.endpoints).toMatchObject([{ address: "10.0.0.1" }]);
});

test("a snapshot whose filter calls a cluster that is not in it is refused", () => {
  const source = { kind: "builtin", name: "cors" };
  const use = { name: "a", source, stage: "authn", upstreams: { users: { cluster: "gone" } } };
  expect(checkSnapshot({ inbound: { filters: [use] } })).toEqual({
    ok: false,
    problems: [
      { path: "inbound.filters[0].upstreams.users.cluster", message: '"gone" is not a cluster of this snapshot' },
    ],
  });
});

const priorities = (spec: string) =>
  snapshotOf(filter("a", spec)).inbound.filters.map(({ stage, priority }) => [stage, priority]);

test("CORS goes before what asks for credentials, unless a priority says otherwise", () => {
  expect(priorities("{ builtin: cors }")).toEqual([["authn", 100]]);
  expect(priorities("{ builtin: basic-auth }")).toEqual([["authn", 0]]);
  expect(priorities("{ builtin: cors, priority: -1, stage: authz }")).toEqual([["authz", -1]]);
});

test("what does not concern a proxy does not change its version", () => {
  const hidden = entry("x", 'hosts: [x.test], endpoints: [{ address: 10.0.0.9 }], exportTo: ["."]', "shop");
  expect(versionOf(REVIEWS + hidden)).toBe(versionOf(REVIEWS));
  expect(versionOf(REVIEWS + SUBSETS)).not.toBe(versionOf(REVIEWS));
});
