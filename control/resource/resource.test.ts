import { describe, expect, test } from "bun:test";
import { parse } from "yaml";
import { renderProblem } from "../../runtime/contract/problem.ts";
import { parseResource } from "./resource.ts";

const api = "networking.istio.io/v1";

/** Problems of one document, as people read them. */
function problemsOf(kind: string, spec: string, apiVersion = api): readonly string[] {
  const parsed = parseResource({ apiVersion, kind, metadata: { name: "x" }, spec: parse(spec) });
  return parsed.ok ? [] : parsed.problems.map(renderProblem);
}

const ROUTE = "route: [{ destination: { host: reviews } }]";
const ENTRY =
  "hosts: [a.test], resolution: STATIC, ports: [{ number: 80, name: http }], endpoints: [{ address: 10.0.0.1 }]";

describe("what Istio has and Vespid does not do yet is a problem by name", () => {
  test.each([
    ["VirtualService", `{ hosts: [a], http: [{ ${ROUTE}, retries: { attempts: 2 } }] }`, "spec.http[0].retries"],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, fault: { delay: { percent: 100, fixedDelay: 7s } } }] }`,
      "spec.http[0].fault",
    ],
    ["VirtualService", `{ hosts: [a], http: [{ ${ROUTE}, mirror: { host: b } }] }`, "spec.http[0].mirror"],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, match: [{ statPrefix: a }] }] }`,
      "spec.http[0].match[0].statPrefix",
    ],
    [
      "VirtualService",
      `{ hosts: [a], tcp: [{ ${ROUTE}, match: [{ sourceSubnet: 10.0.0.0/8 }] }] }`,
      "spec.tcp[0].match[0].sourceSubnet",
    ],
    [
      "DestinationRule",
      "{ host: a, trafficPolicy: { connectionPool: { tcp: { tcpKeepalive: {} } } } }",
      "spec.trafficPolicy.connectionPool.tcp.tcpKeepalive",
    ],
    [
      "DestinationRule",
      "{ host: a, trafficPolicy: { connectionPool: { http: { maxRetries: 3 } } } }",
      "spec.trafficPolicy.connectionPool.http.maxRetries",
    ],
    [
      "DestinationRule",
      "{ host: a, trafficPolicy: { portLevelSettings: [{ port: { number: 1 }, outlierDetection: {} }] } }",
      "spec.trafficPolicy.portLevelSettings[0].outlierDetection",
    ],
    [
      "DestinationRule",
      "{ host: a, trafficPolicy: { tls: { mode: SIMPLE, credentialName: c } } }",
      "spec.trafficPolicy.tls.credentialName",
    ],
    ["DestinationRule", "{ host: a, trafficPolicy: { outlierDetection: {} } }", "spec.trafficPolicy.outlierDetection"],
    [
      "DestinationRule",
      "{ host: a, trafficPolicy: { loadBalancer: { simple: RANDOM, consistentHash: {} } } }",
      "spec.trafficPolicy.loadBalancer.consistentHash",
    ],
    ["Sidecar", `{ outboundTrafficPolicy: {}, egress: [{ hosts: ["./*"] }] }`, "spec.egress"],
    ["ServiceEntry", `{ ${ENTRY}, workloadSelector: { labels: {} } }`, "spec.workloadSelector"],
  ])("%s %s", (kind, spec, path) => {
    expect(problemsOf(kind, spec)).toEqual([`${path}: is a field of Istio that is not supported yet`]);
  });
});

describe("what is wrong is told with the field, the value and what it must be", () => {
  test.each([
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, wieght: 1 }] }`,
      "spec.http[0].wieght: is not a field that is known here",
    ],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, rewrite: { uri: "/a HTTP/1.1\\r\\nX-Role: admin" } }] }`,
      'spec.http[0].rewrite.uri: "/a HTTP/1.1\\r\\nX-Role: admin" is not a path: "/", then visible ASCII characters without "#"',
    ],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, rewrite: { authority: "a\\r\\nX-Role: admin" } }] }`,
      'spec.http[0].rewrite.authority: "a\\r\\nX-Role: admin" is not a host such as "reviews" or "reviews:9080"',
    ],
    [
      "VirtualService",
      `{ hosts: ["*"], http: [{ ${ROUTE} }] }`,
      'spec.hosts[0]: "*" is for gateways; a VirtualService of sidecars names its hosts',
    ],
    [
      "VirtualService",
      `{ hosts: [a], gateways: [edge], http: [{ ${ROUTE} }] }`,
      'spec.gateways[0]: "edge" is a gateway, which is not supported yet, only "mesh" is',
    ],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, timeout: soon }] }`,
      'spec.http[0].timeout: "soon" is not a duration such as "5s" or "250ms"',
    ],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, match: [{ uri: { prefix: api } }] }] }`,
      'spec.http[0].match[0].uri.prefix: "api" must start with "/"',
    ],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, match: [{ uri: { prefix: /a, exact: /b } }] }] }`,
      "spec.http[0].match[0].uri: must have only one of exact, prefix, regex",
    ],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, match: [{ headers: { x: { regex: "(?=a)" } } }] }] }`,
      'spec.http[0].match[0].headers.x.regex: "(?=a)" uses lookaround or a back-reference, which RE2 does not have',
    ],
    [
      "VirtualService",
      `{ hosts: [a], http: [{ ${ROUTE}, headers: { request: { set: { x: "%REQ(y)%" } } } }] }`,
      'spec.http[0].headers.request.set.x: "%REQ(y)%" has an operator such as %REQ(name)%, which is not supported yet; write %% for a percent sign',
    ],
    [
      "VirtualService",
      "{ hosts: [a], http: [{ route: [{ destination: { host: b } }, { destination: { host: c } }] }] }",
      "spec.http[0].route: every weight is 0, one must be above",
    ],
    [
      "ServiceEntry",
      `{ hosts: [a.test], resolution: STATIC, ports: [{ number: 80, name: http }] }`,
      "spec.endpoints: must name at least one endpoint with resolution STATIC",
    ],
    [
      "ServiceEntry",
      `{ hosts: [a.test], resolution: STATIC, ports: [{ number: 80, name: http }], endpoints: [{ address: b.test }] }`,
      'spec.endpoints[0].address: "b.test" must be an IP address with resolution STATIC',
    ],
    [
      "ServiceEntry",
      `{ hosts: [a.test], resolution: DNS, ports: [{ number: 0, name: http }] }`,
      "spec.ports[0].number: is 0, must be at least 1",
    ],
    [
      "ServiceEntry",
      `{ hosts: [a.test], resolution: DNS, ports: [{ number: 80, name: db, protocol: UDP }] }`,
      'spec.ports[0].protocol: "udp" is not a protocol that is supported; these are: HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, MYSQL, REDIS',
    ],
    [
      "ServiceEntry",
      `{ hosts: [a.test, b.test], resolution: DNS, ports: [{ number: 1, name: db, protocol: TCP }] }`,
      "spec.ports[0].protocol: must be one of HTTP or TLS where there are several hosts: TCP names none",
    ],
    [
      "ServiceEntry",
      `{ hosts: [a.test], addresses: [10.0.0.0/33], resolution: DNS, ports: [{ number: 1, name: tcp }] }`,
      'spec.addresses[0]: "10.0.0.0/33" is not an address or a network such as "10.1.0.0/16"',
    ],
    [
      "ServiceEntry",
      `{ hosts: [a.test], addresses: [10.0.0.0/8], resolution: DNS, ports: [{ number: 1, name: tcp }] }`,
      'spec.addresses[0]: "10.0.0.0/8" is a network, which needs resolution STATIC',
    ],
    ["VirtualService", "{ hosts: [a] }", "spec: must have at least one of http, tls, tcp"],
    [
      "VirtualService",
      `{ hosts: ["*.a.test"], tls: [{ ${ROUTE}, match: [{ sniHosts: ["*.b.a.test", b.test] }] }] }`,
      'spec.tls[0].match[0].sniHosts[1]: "b.test" is none of the hosts',
    ],
    [
      "VirtualService",
      "{ hosts: [a], tcp: [{ route: [{ destination: { host: b } }, { destination: { host: c } }] }] }",
      "spec.tcp[0].route: every weight is 0, one must be above",
    ],
    [
      "DestinationRule",
      "{ host: a, trafficPolicy: { tls: { mode: ISTIO_MUTUAL } } }",
      'spec.trafficPolicy.tls.mode: "ISTIO_MUTUAL" is not supported yet: workloads have no identities; MUTUAL takes certificates from files',
    ],
    [
      "DestinationRule",
      "{ host: a, trafficPolicy: { tls: { mode: MUTUAL, clientCertificate: /c.pem } } }",
      "spec.trafficPolicy.tls.privateKey: is required for MUTUAL",
    ],
    [
      "DestinationRule",
      "{ host: a, subsets: [{ name: v1 }, { name: v1 }] }",
      'spec.subsets[1].name: "v1" is used twice',
    ],
  ])("%s %s", (kind, spec, problem) => {
    expect(problemsOf(kind, spec)).toEqual([problem]);
  });

  test("a filter names a bundle or a built-in, one of them", () => {
    expect(problemsOf("Filter", "{}", "vespid.dev/v1")).toEqual(["spec: must have either bundle or builtin"]);
    expect(problemsOf("Filter", "{ builtin: magic }", "vespid.dev/v1").join()).toMatch(
      /^spec\.builtin: "magic" is not a built-in filter; these are: .*cors, .*basic-auth/u,
    );
  });
});

describe("a document", () => {
  test("of another kind is told which kinds there are", () => {
    const parsed = parseResource({ apiVersion: api, kind: "EnvoyFilter" }, "[3]");
    expect(parsed).toEqual({
      ok: false,
      problems: [
        {
          path: "[3].kind",
          message:
            '"EnvoyFilter" is not a kind that is supported; these are: ServiceEntry, DestinationRule, VirtualService, Sidecar, Filter, Adapter, Rule',
        },
      ],
    });
  });

  test.each([[null], ["text"], [[]], [42]])("%p is not a resource", (document) => {
    expect(parseResource(document)).toMatchObject({ ok: false, problems: [{ path: "" }] });
  });

  test("that a cluster gave out is taken: what servers add is ignored", () => {
    const metadata = { name: "x", namespace: "shop", uid: "1", generation: 2, managedFields: [], resourceVersion: "9" };
    const document = { apiVersion: api, kind: "DestinationRule", metadata, spec: { host: "a" }, status: {} };
    expect(parseResource(document)).toMatchObject({
      ok: true,
      value: { metadata: { namespace: "shop", resourceVersion: "9" } },
    });
  });
});
