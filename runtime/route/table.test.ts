import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EMPTY_BODY } from "../exchange/body.ts";
import { Exchange } from "../exchange/exchange.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { VirtualHost } from "../contract/route.ts";
import { compilePath, compileRoutes, compileString, hostOf } from "./table.ts";

function host(domains: readonly string[], ...routes: readonly object[]): VirtualHost {
  return VirtualHost.parse({ name: domains[0], domains, routes });
}

function to(cluster: string, more: object = {}): object {
  return { destinations: [{ cluster }], ...more };
}

function get(path: string, headers: readonly (readonly [string, string])[] = [], method = "GET") {
  return { method, path, headers: HeaderMap.from(headers) };
}

function exchangeOf(path: string, headers: HeaderMap): Exchange {
  const downstream = {
    direction: "inbound",
    remoteIp: "",
    remoteAddress: "",
    localAddress: "",
    localPort: 0,
    originalDestination: undefined,
    tls: undefined,
  } as const;
  const clock = { now: () => 0, monotonic: () => 0 };
  return new Exchange(downstream, "GET", path, "h", "HTTP/1.1", headers, EMPTY_BODY, clock);
}

describe("a prefix", () => {
  test.each([
    ["path_separated_prefix", "/api", "/api", true],
    ["path_separated_prefix", "/api", "/api/", true],
    ["path_separated_prefix", "/api", "/api/users", true],
    ["path_separated_prefix", "/api", "/apiary", false],
    ["path_separated_prefix", "/api/", "/api", true],
    ["path_separated_prefix", "/", "/anything", true],
    ["prefix", "/api", "/apiary", true],
    ["prefix", "/api/", "/api", false],
    ["exact", "/api", "/api/", false],
    ["exact", "/api", "/api", true],
    ["regex", "/a(pi)?", "/api", true],
    ["regex", "/a", "/api", false],
  ] as const)("%s %p against %p is %p", (kind, value, path, expected) => {
    expect(compilePath({ kind, value })(path)).toBe(expected);
  });

  test("ignores case where it is told to", () => {
    expect(compilePath({ kind: "prefix", value: "/Api" }, true)("/aPI/x")).toBe(true);
    expect(compilePath({ kind: "prefix", value: "/Api" })("/aPI/x")).toBe(false);
  });
});

describe("the most exact host wins", () => {
  const table = compileRoutes([
    host(["*"], to("any")),
    host(["*.example.com"], to("suffix")),
    host(["*.b.example.com"], to("longer")),
    host(["a.example.com"], to("exact")),
    host(["[::1]"], to("six")),
  ]);
  test.each([
    ["a.example.com", "exact"],
    ["A.Example.COM:8080", "exact"],
    ["x.example.com", "suffix"],
    ["x.b.example.com", "longer"],
    [".example.com", "any"],
    ["example.com", "any"],
    ["", "any"],
    ["[::1]:80", "six"],
    ["[::1]", "six"],
  ])("%p is %p", (authority, cluster) => {
    expect(table(authority, get("/"))?.(0)?.cluster).toBe(cluster);
  });

  test("a host that is repeated is answered alike, and so is the next one", () => {
    for (const authority of ["a.example.com", "a.example.com", "nobody", "a.example.com"]) {
      expect(table(authority, get("/"))?.(0)?.cluster).toBe(authority === "nobody" ? "any" : "exact");
    }
  });

  test("a host that is not there has no route, and neither has a path", () => {
    expect(compileRoutes([])("a", get("/"))).toBeUndefined();
    expect(compileRoutes([host(["a"], to("x"))])("b", get("/"))).toBeUndefined();
    const one = compileRoutes([host(["a"], to("x", { matches: [{ path: { kind: "exact", value: "/x" } }] }))]);
    expect(one("a", get("/y"))).toBeUndefined();
    expect(one("a", get("/x?q=1"))?.(0)?.cluster).toBe("x");
  });
});

describe("conditions", () => {
  const table = compileRoutes([
    host(
      ["*"],
      to("jason", { matches: [{ headers: { "End-User": { kind: "exact", value: "jason" } } }] }),
      to("posts", {
        matches: [{ method: { kind: "exact", value: "POST" }, withoutHeaders: { "x-old": { kind: "present" } } }],
      }),
      to("either", { matches: [{ path: { kind: "exact", value: "/a" } }, { path: { kind: "exact", value: "/b" } }] }),
      to("rest"),
    ),
  ]);
  test.each([
    [get("/", [["end-user", "jason"]]), "jason"],
    [get("/", [["end-user", "Jason"]]), "rest"],
    [get("/", [], "POST"), "posts"],
    [get("/", [["X-Old", "1"]], "POST"), "rest"],
    [get("/b"), "either"],
    [get("/c"), "rest"],
  ])("all of a block and any of its blocks: case %#", (requested, cluster) => {
    expect(table("any", requested)?.(0)?.cluster).toBe(cluster);
  });

  test("a header that is not there matches nothing but `withoutHeaders`", () => {
    for (const kind of ["exact", "prefix", "regex"] as const)
      expect(compileString({ kind, value: "" })(undefined)).toBe(false);
    expect(compileString({ kind: "present" })("")).toBe(true);
  });
});

test("weights share requests out, and 0 gets nothing", () => {
  const table = compileRoutes([
    host(["*"], {
      destinations: [
        { cluster: "a", weight: 90 },
        { cluster: "never", weight: 0 },
        { cluster: "b", weight: 10 },
      ],
    }),
  ]);
  const counts = new Map<string, number>();
  for (let at = 0; at < 100; at++) {
    const cluster = table("x", get("/"))?.(at / 100)?.cluster ?? "none";
    counts.set(cluster, (counts.get(cluster) ?? 0) + 1);
  }
  expect(Object.fromEntries(counts)).toEqual({ a: 90, b: 10 });
});

describe("a rewrite replaces what matched and keeps the query", () => {
  test.each([
    [[{ path: { kind: "prefix", value: "/api/" } }], "/", "/api/x?q=1", "/x?q=1"],
    [[{ path: { kind: "prefix", value: "/api" } }], "/v2", "/api/x", "/v2/x"],
    // Envoy's letter: a prefix without its slash leaves two.
    [[{ path: { kind: "prefix", value: "/api" } }], "/", "/api/x", "//x"],
    [[{ path: { kind: "path_separated_prefix", value: "/api" } }], "/", "/api/x", "/x"],
    [[{ path: { kind: "path_separated_prefix", value: "/api" } }], "/", "/api", "/"],
    [[{ path: { kind: "exact", value: "/old" } }], "/new", "/old?x", "/new?x"],
    [[], "/all/", "/x", "/all/x"],
    [[{ path: { kind: "prefix", value: "/a" } }, { path: { kind: "prefix", value: "/a/b" } }], "/z", "/a/b/c", "/z/c"],
  ])("case %#", (matches, prefixRewrite, path, expected) => {
    const decision = compileRoutes([host(["*"], to("x", { matches, prefixRewrite }))])("h", get(path))?.(0);
    const exchange = exchangeOf(path, new HeaderMap());
    decision?.prepare?.(exchange);
    expect(exchange.path).toBe(expected);
    expect(exchange.originalPath).toBe(path);
    expect(exchange.headers.get("x-envoy-original-path")).toBe(path);
  });
});

test("edits remove, then set, then add; the route has the last word over its destination", () => {
  const decision = compileRoutes([
    host(["*"], {
      destinations: [{ cluster: "x", requestHeaders: { set: { "x-a": "destination" }, add: { "x-b": "1" } } }],
      requestHeaders: { set: { "x-a": "route" }, remove: ["X-Gone"] },
      authorityRewrite: "inner",
    }),
  ])(
    "h",
    get("/"),
  )?.(0);
  const headers = HeaderMap.from([
    ["X-Gone", "1"],
    ["X-A", "given"],
    ["x-b", "0"],
    ["Host", "h"],
  ]);
  decision?.prepare?.(exchangeOf("/", headers));
  expect([...headers]).toEqual([
    ["x-b", "0"],
    ["x-b", "1"],
    ["x-a", "route"],
    ["Host", "inner"],
  ]);
});

describe("the compiled table agrees with trying every host and route", () => {
  const label = fc.constantFrom("a", "b", "ab");
  const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
  const domain = fc.oneof(
    name,
    name.map((text) => `*.${text}`),
    fc.constant("*"),
  );
  const path = fc.array(label, { maxLength: 3 }).map((labels) => `/${labels.join("/")}`);
  const routes = fc.array(
    fc.tuple(fc.constantFrom("exact" as const, "prefix" as const, "path_separated_prefix" as const), path),
    // Above eight they are found by an index.
    { maxLength: 30, size: "max" },
  );
  const hosts = fc.uniqueArray(fc.tuple(domain, routes), { maxLength: 5, selector: ([text]) => text });

  test("for every table and request", () => {
    fc.assert(
      fc.property(hosts, name, path, (all, authority, requested) => {
        const virtualHosts = all.map(([text, list], hostIndex) =>
          host(
            [text],
            ...list.map(([kind, value], index) =>
              to(`${hostIndex}-${index}`, { matches: [{ path: { kind, value } }] }),
            ),
          ),
        );
        const rank = ([text]: (typeof all)[number]): number => {
          if (text === authority) return 1000;
          if (text === "*") return 1;
          return text.startsWith("*") && authority.endsWith(text.slice(1)) ? text.length : 0;
        };
        const best = all.reduce(
          (winner, one, index) => (rank(one) > (winner < 0 ? 0 : rank(all[winner] ?? one)) ? index : winner),
          -1,
        );
        const slow = (all[best]?.[1] ?? []).findIndex(([kind, value]) => compilePath({ kind, value })(requested));
        const expected = slow < 0 ? undefined : `${best}-${slow}`;
        expect(compileRoutes(virtualHosts)(authority, get(requested))?.(0)?.cluster).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });
});

test("a host's port and case do not count", () => {
  expect(hostOf("Reviews:9080")).toBe("reviews");
  expect(hostOf("[FE80::1]:80")).toBe("[fe80::1]");
});

const called = (ip: string, port: number) => ({ originalDestination: { ip, port } });
const ask = (path: string, more: object = {}) => ({ ...get(path), scheme: "http", authority: "a", ...more });

describe("a match of what the client called", () => {
  const cases: readonly (readonly [string, object, ReturnType<typeof ask>, boolean])[] = [
    ["the redirected port", { port: 81 }, ask("/", { downstream: called("10.0.0.1", 81), authority: "a:80" }), true],
    ["not that of Host then", { port: 80 }, ask("/", { downstream: called("10.0.0.1", 81), authority: "a:80" }), false],
    ["the port of Host", { port: 81 }, ask("/", { authority: "a:81" }), true],
    ["the host's own where nothing names one", { port: 9080 }, ask("/"), true],
    ["and no other", { port: 80 }, ask("/"), false],
    ["an authority whole", { authority: { kind: "exact", value: "a:81" } }, ask("/", { authority: "a:81" }), true],
    ["not a part of it", { authority: { kind: "exact", value: "a" } }, ask("/", { authority: "a:81" }), false],
    ["a scheme", { scheme: { kind: "exact", value: "https" } }, ask("/", { scheme: "https" }), true],
    ["not another scheme", { scheme: { kind: "exact", value: "https" } }, ask("/"), false],
    ["a parameter", { queryParams: { q: { kind: "exact", value: "1 2" } } }, ask("/?x=3&q=1%202"), true],
    ["the first of several", { queryParams: { q: { kind: "exact", value: "2" } } }, ask("/?q=1&q=2"), false],
    ["one without a value", { queryParams: { q: { kind: "present" } } }, ask("/?q"), true],
    ["none that is not there", { queryParams: { q: { kind: "present" } } }, ask("/?qq=1"), false],
    ["none without a query", { queryParams: { q: { kind: "present" } } }, ask("/q=1"), false],
    ["a broken escape as it is", { queryParams: { q: { kind: "exact", value: "%zz" } } }, ask("/?q=%zz"), true],
    ["its name decoded", { queryParams: { "a b": { kind: "present" } } }, ask("/?a%20b=1"), true],
  ];
  test.each(cases)("%s", (_name, match, requested, expected) => {
    const routes = [to("x", { matches: [match] })];
    // Alone, and among so many that the index is asked.
    const few = compileRoutes([VirtualHost.parse({ name: "a", domains: ["a"], port: 9080, routes })]);
    const others = Array.from({ length: 20 }, (_, at) =>
      to("y", { matches: [{ path: { kind: "exact", value: `/other-${at}` } }] }),
    );
    const many = compileRoutes([
      VirtualHost.parse({
        name: "a",
        domains: ["a"],
        port: 9080,
        routes: [...others, to("x", { matches: [{ path: { kind: "prefix", value: "/" }, ...match }] })],
      }),
    ]);
    for (const table of [few, many]) expect(table("a", requested) !== undefined).toBe(expected);
  });
});
