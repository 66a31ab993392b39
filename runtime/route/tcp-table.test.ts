import { expect, test } from "bun:test";
import { TcpRoute } from "../contract/tcp.ts";
import { compileTcpRoutes } from "./tcp-table.ts";

function route(name: string, match: object): TcpRoute {
  return TcpRoute.parse({ name, match, destinations: [{ cluster: "c" }] });
}

const find = compileTcpRoutes([
  route("any", {}),
  route("port", { port: 80 }),
  route("net", { destinationSubnets: ["10.0.0.0/8"] }),
  route("smaller", { destinationSubnets: ["10.1.0.0/16"], port: 80 }),
  route("six", { destinationSubnets: ["fd00::/8"] }),
  route("exact", { sniHosts: ["a.b.test"] }),
  route("wild", { sniHosts: ["*.b.test"], port: 443 }),
  route("wider", { sniHosts: ["*.test"] }),
]);

test.each([
  [1, undefined, "", "any"],
  [80, undefined, "", "port"],
  [1, "10.2.0.1", "", "net"],
  [80, "10.2.0.1", "", "net"],
  [80, "10.1.0.1", "", "smaller"],
  [81, "10.1.0.1", "", "net"],
  [1, "fd00::1", "", "six"],
  [1, "192.0.2.1", "a.b.test", "exact"],
  [443, undefined, "x.b.test", "wild"],
  [444, undefined, "x.b.test", "wider"],
  [443, undefined, "x.y.b.test", "wild"],
  [443, undefined, "b.test", "wider"],
  [443, undefined, "other", "any"],
])("port %d of %s, SNI %j: %s", (port, ip, serverName, expected) => {
  expect(find(port, ip, serverName)?.name).toBe(expected);
});

test("without a route for it there is none", () => {
  expect(compileTcpRoutes([route("named", { sniHosts: ["*"] })])(1, undefined, "")).toBeUndefined();
});
