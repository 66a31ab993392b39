// Where requests go that no listed cluster takes, without sockets: what is built for them, kept and forgotten.
import { describe, expect, test } from "bun:test";
import { LiveCluster } from "../cluster/cluster.ts";
import { EMPTY_BODY } from "../exchange/body.ts";
import { Exchange, type Destination } from "../exchange/exchange.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { OriginalDestinations, type OpenDestination } from "./original-dst.ts";

const CLOCK = { now: () => 0, monotonic: () => 0 };

interface Built extends OpenDestination {
  readonly pool: OpenDestination["pool"] & { openConnections: number };
  isDrained: boolean;
}

function makeDestinations(addresses: readonly string[] = []): { all: OriginalDestinations<Built>; built: Built[] } {
  const built: Built[] = [];
  const all = new OriginalDestinations<Built>({
    build: (config, sourceAddress) => {
      const one: Built = {
        cluster: new LiveCluster(config, () => 0, sourceAddress),
        isDrained: false,
        pool: {
          openConnections: 1,
          waitingRequests: 0,
          sweep: () => undefined,
          drain: () => {
            one.isDrained = true;
          },
        },
      };
      built.push(one);
      return one;
    },
    hasAddress: (address) => addresses.includes(address),
  });
  return { all, built };
}

function request(originalDestination: Destination | undefined, authority = "shop", isProxyForm = false): Exchange {
  const downstream = {
    direction: "outbound",
    remoteIp: "10.0.0.9",
    remoteAddress: "10.0.0.9:1",
    localAddress: "10.0.0.1:80",
    localPort: 80,
    originalDestination,
    tls: undefined,
  } as const;
  const exchange = new Exchange(downstream, "GET", "/", authority, "HTTP/1.1", new HeaderMap(), EMPTY_BODY, CLOCK);
  exchange.isProxyForm = isProxyForm;
  return exchange;
}

function hostOf(found: Built | object): string {
  return "cluster" in found ? (found.cluster.endpoints[0]?.host ?? "") : "none";
}

describe("what passes through goes where it was going", () => {
  test.each<[string, Exchange, string]>([
    ["redirected", request({ ip: "10.0.0.2", port: 8080 }), "10.0.0.2:8080"],
    ["redirected, IPv6", request({ ip: "fd00::2", port: 8080 }), "[fd00::2]:8080"],
    ["redirected, on its way to another proxy", request({ ip: "10.0.0.3", port: 3128 }, "shop", true), "10.0.0.3:3128"],
    ["asked of a forward proxy", request(undefined, "Shop.Example:8080", true), "shop.example:8080"],
    ["asked of a forward proxy, without a port", request(undefined, "[::1]", true), "[::1]:80"],
    ["asked of a forward proxy, port 0", request(undefined, "shop:0", true), "none"],
    ["sent to us by a Host alone", request(undefined), "none"],
  ])("%s", (_, exchange, host) => {
    const { all } = makeDestinations();
    expect(hostOf(all.find("PassthroughCluster", exchange))).toBe(host);
  });
});

test("the application is called at its own address from the address that the rules know", () => {
  const { all, built } = makeDestinations(["::6"]);
  all.find("inbound|8080||", request({ ip: "10.0.0.1", port: 8080 }));
  all.find("inbound|8080||", request({ ip: "fd00::1", port: 8080 }));
  expect(built.map(({ cluster }) => [cluster.endpoints[0]?.host, cluster.sourceAddress])).toEqual([
    ["10.0.0.1:8080", "127.0.0.6"],
    ["[fd00::1]:8080", "::6"],
  ]);
});

test("without ::6 the application is called on loopback, so that the call cannot come back", () => {
  const { all, built } = makeDestinations();
  all.find("inbound|8080||", request({ ip: "fd00::1", port: 8080 }));
  expect(built.map(({ cluster }) => [cluster.endpoints[0]?.host, cluster.sourceAddress])).toEqual([
    ["[::1]:8080", undefined],
  ]);
});

test("one destination has one pool, and cluster and address tell two apart", () => {
  const { all, built } = makeDestinations();
  const first = request({ ip: "10.0.0.2", port: 80 });
  expect(all.find("PassthroughCluster", first)).toBe(all.find("PassthroughCluster", first));
  all.find("PassthroughCluster", request({ ip: "10.0.0.3", port: 80 }));
  all.find("inbound|80||", first);
  expect(built).toHaveLength(3);
  expect(all.sums().map(({ cluster, pool }) => [cluster.name, pool.openConnections])).toEqual([
    ["PassthroughCluster", 2],
    ["inbound|80||", 1],
  ]);
});

test("a destination without connections is forgotten at the next sweep", () => {
  const { all, built } = makeDestinations();
  all.find("PassthroughCluster", request({ ip: "10.0.0.2", port: 80 }));
  all.sweep(0);
  expect(all.sums()).toHaveLength(1);
  for (const { pool } of built) pool.openConnections = 0;
  all.sweep(0);
  expect(all.sums()).toHaveLength(0);
});

test("at the bound an idle destination makes room; where all are in use the request is refused", () => {
  const { all, built } = makeDestinations();
  const port = (number: number) => all.find("PassthroughCluster", request({ ip: "10.0.0.2", port: number }));
  for (let number = 1; number <= 1024; number++) port(number);
  expect(built.filter(({ isDrained }) => isDrained)).toHaveLength(0);
  port(1025);
  expect(built.filter(({ isDrained }) => isDrained)).toHaveLength(1);
  for (const { cluster } of built) cluster.activeRequests = 1;
  expect(port(1026)).toMatchObject({ ok: false, error: { kind: "overloaded" } });
  expect(hostOf(port(1025))).toBe("10.0.0.2:1025");
});

test("the black hole is 502, and a cluster that is nobody's is told as such", () => {
  const { all } = makeDestinations();
  expect(all.find("BlackHoleCluster", request(undefined))).toMatchObject({ ok: true, value: { status: 502 } });
  expect(all.find("inbound|8080||", request(undefined))).toMatchObject({ ok: false, error: { kind: "no_cluster" } });
  expect(all.find("outbound|80||x", request({ ip: "10.0.0.2", port: 80 }))).toMatchObject({ ok: false });
});
