// Which route a connection takes that is not read: by SNI, by the address that the client called, by port. Pure. The most
// specific wins, as in Envoy's filter chains: the longest name, then the smallest network, then a port that was named.
import { BlockList, isIPv6 } from "node:net";
import type { TcpRoute } from "../contract/tcp.ts";

/** Finds the route of one connection; `ip` is the one that the client called, where that is known. */
export type TcpTable = (port: number, ip: string | undefined, serverName: string) => TcpRoute | undefined;

interface Entry {
  readonly route: TcpRoute;
  readonly port: number | undefined;
  readonly subnet: { readonly holds: (ip: string) => boolean; readonly bits: number } | undefined;
}

/** Builds the table once for each generation. */
export function compileTcpRoutes(routes: readonly TcpRoute[]): TcpTable {
  const bySni = new Map<string, Entry[]>();
  const withoutSni: Entry[] = [];
  for (const route of routes) {
    const { port, destinationSubnets, sniHosts } = route.match;
    const subnets = destinationSubnets.length === 0 ? [undefined] : destinationSubnets.map(compileSubnet);
    const entries = subnets.map((subnet) => ({ route, port, subnet }));
    if (sniHosts.length === 0) withoutSni.push(...entries);
    for (const host of sniHosts) {
      const key = host.toLowerCase();
      bySni.set(key, [...(bySni.get(key) ?? []), ...entries]);
    }
  }
  for (const list of [...bySni.values(), withoutSni]) list.sort(bySpecificity);

  return function findTcpRoute(port, ip, serverName) {
    if (bySni.size > 0 && serverName !== "") {
      for (const key of namesOf(serverName)) {
        const found = pickEntry(bySni.get(key), port, ip);
        if (found !== undefined) return found;
      }
    }
    return pickEntry(withoutSni, port, ip);
  };
}

/** `a.b.c`, `*.b.c`, `*.c`, `*`. */
function* namesOf(serverName: string): Generator<string> {
  yield serverName;
  for (let dot = serverName.indexOf("."); dot >= 0; dot = serverName.indexOf(".", dot + 1)) {
    yield `*${serverName.slice(dot)}`;
  }
  yield "*";
}

function pickEntry(entries: readonly Entry[] | undefined, port: number, ip: string | undefined): TcpRoute | undefined {
  return entries?.find(
    (entry) =>
      (entry.port === undefined || entry.port === port) &&
      (entry.subnet === undefined || (ip !== undefined && entry.subnet.holds(ip))),
  )?.route;
}

/** Stable: of two that are alike the first in the configuration wins. */
function bySpecificity(left: Entry, right: Entry): number {
  const bits = (right.subnet?.bits ?? -1) - (left.subnet?.bits ?? -1);
  return bits !== 0 ? bits : Number(right.port !== undefined) - Number(left.port !== undefined);
}

function compileSubnet(cidr: string): NonNullable<Entry["subnet"]> {
  const [address = "", prefix] = cidr.split("/");
  const family = isIPv6(address) ? "ipv6" : "ipv4";
  const bits = prefix === undefined ? (family === "ipv6" ? 128 : 32) : Number(prefix);
  const list = new BlockList();
  list.addSubnet(address, bits, family);
  return { holds: (ip) => list.check(ip, isIPv6(ip) ? "ipv6" : "ipv4"), bits };
}
