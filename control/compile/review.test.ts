// What an apply warns of, and refuses, when a resource is seen beside the others.
import { expect, test } from "bun:test";
import { parseAllDocuments } from "yaml";
import { renderProblem } from "../../runtime/contract/problem.ts";
import { parseResource } from "../resource/resource.ts";
import { reviewResource } from "./review.ts";
import { buildWorld } from "./world.ts";

const HEAD = "apiVersion: networking.istio.io/v1";
const entry = (host: string, ports: string, more = "") =>
  `${HEAD}\nkind: ServiceEntry\nmetadata: { name: ${host} }\nspec: { hosts: [${host}], resolution: DNS, ports: [${ports}]${more} }`;
const rule = (kind: string, spec: string) => `${HEAD}\nkind: ${kind}\nmetadata: { name: rule }\nspec: ${spec}`;
const HTTP = entry("a.test", "{ number: 80, name: http }");
const TWO = entry("a.test", "{ number: 80, name: http }, { number: 81, name: grpc }, { number: 82, name: tcp }");

test.each<[string, readonly string[], readonly string[]]>([
  ["one port of HTTP", [HTTP], []],
  [
    "two ports of HTTP",
    [entry("a.test", "{ number: 80, name: http }, { number: 81, name: grpc }")],
    ["spec.ports: a request that names no port, and was not redirected, goes to 80 (the first)"],
  ],
  [
    "a port of TCP without an address",
    [entry("a.test", "{ number: 82, name: tcp }")],
    ["spec.ports[0]: takes every redirected connection to 82, since spec.addresses names no address"],
  ],
  ["a port of TCP with one", [entry("a.test", "{ number: 82, name: tcp }", ", addresses: [192.0.2.1]")], []],
  [
    "a port that another service has for HTTP",
    [HTTP, entry("b.test", "{ number: 80, name: mysql }", ", addresses: [192.0.2.1]")],
    ["spec.ports[0]: another service has 80 for another protocol: a server that speaks first is not heard"],
  ],
  [
    "PROXY protocol where requests go",
    [HTTP, rule("DestinationRule", "{ host: a.test, trafficPolicy: { proxyProtocol: {} } }")],
    [
      "spec.trafficPolicy.proxyProtocol: connections for HTTP are shared between clients and begin with no PROXY protocol header",
    ],
  ],
  [
    "rules for ports that are not there",
    [
      HTTP,
      rule(
        "VirtualService",
        "{ hosts: [a.test], tcp: [{ route: [{ destination: { host: a.test } }] }], tls: [{ match: [{ sniHosts: [a.test] }], route: [{ destination: { host: a.test } }] }] }",
      ),
    ],
    [
      "spec.tls: no ServiceEntry of these hosts has a port of HTTPS or TLS",
      "spec.tcp: no ServiceEntry of these hosts has a port of TCP",
    ],
  ],
  [
    "TCP to a port and a subset that are not there",
    [
      TWO,
      rule(
        "VirtualService",
        "{ hosts: [a.test], tcp: [{ route: [{ destination: { host: a.test, subset: v1, port: { number: 9 } } }] }] }",
      ),
    ],
    [
      "spec.tcp[0].route[0].destination.port.number: a.test has no port 9; connections are closed until it has",
      'spec.tcp[0].route[0].destination.subset: no DestinationRule of a.test has a subset "v1"; connections are closed until one has',
    ],
  ],
  [
    "HTTP to a service with several ports of it",
    [TWO, rule("VirtualService", "{ hosts: [a.test], http: [{ route: [{ destination: { host: a.test } }] }] }")],
    ["spec.http[0].route[0].destination.port: is required, since a.test has several ports: 80, 81"],
  ],
  [
    "TCP to it: the port that was called",
    [TWO, rule("VirtualService", "{ hosts: [a.test], tcp: [{ route: [{ destination: { host: a.test } }] }] }")],
    [],
  ],
])("%s", (_name, documents, expected) => {
  const resources = parseAllDocuments(documents.join("\n---\n")).map((document) => {
    const parsed = parseResource(document.toJS());
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    return parsed.value;
  });
  const last = resources.at(-1);
  if (last === undefined) throw new Error("no resource");
  const world = buildWorld(resources, new Map());
  const { problems, warnings } = reviewResource(world, last, { bundle: () => [], builtin: () => [] });
  expect([...problems, ...warnings].map(renderProblem)).toEqual([...expected]);
});
