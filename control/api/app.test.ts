// The API over HTTP, control whole but for the building of filters.
import { describe, expect, test } from "bun:test";
import { Digest, Manifest, type BundleRef } from "../../runtime/contract/bundle.ts";
import { startControl, type Control } from "../service.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import { renderOpenApi } from "./openapi.ts";

const TOKEN = "vsp_test";
const silent = { info() {}, warn() {}, error() {} };
const ENTRY = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: reviews }
spec:
  hosts: [reviews]
  resolution: STATIC
  ports: [{ number: 9080, name: http, protocol: HTTP }]
  endpoints: [{ address: 127.0.0.1 }]
`;
const routeTo = (host: string, more = "") => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec: { hosts: [reviews], http: [{ route: [{ destination: { host: ${host}${more} } }] }] }
`;
const ADDRESS = "/v1/resources/ServiceEntry/default/reviews";

interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly headers: Headers;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look at it from outside, as a client would
  readonly body: any;
}

interface Api extends AsyncDisposable {
  readonly control: Control;
  send(
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    headers?: Record<string, string>,
  ): Promise<Answer>;
}

/** An artifact is "built" when it starts with `good`; its one file is itself. */
function startApi(host = "127.0.0.1"): Api {
  const control = startControl({
    listen: { host, port: 0 },
    store: openSqliteStore(":memory:"),
    token: TOKEN,
    deriveBundle: (artifact) => Promise.resolve(derive(artifact)),
    checkConfig: {
      bundle: (_manifest, config) =>
        JSON.stringify(config) === "{}" ? [] : [{ path: "realm", message: "is not known" }],
      builtin: () => [],
      builtinUpstreams: (name) => (name === "header-rewrite" ? ["users"] : []),
    },
    log: silent,
    now: () => 1000,
    monotonic: () => performance.now(),
  });
  return {
    control,
    async send(method, path, body, headers = {}) {
      const reply = await fetch(`${control.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${TOKEN}`, ...headers },
        ...(body === undefined ? {} : { body }),
      });
      const text = await reply.text();
      const type = reply.headers.get("content-type");
      return {
        status: reply.status,
        type,
        headers: reply.headers,
        body: type?.includes("json") === true ? JSON.parse(text) : text,
      };
    },
    [Symbol.asyncDispose]: () => control.stop(),
  };
}

const filter = (digest: string, config = "{}") => `apiVersion: vespid.dev/v1
kind: Filter
metadata: { name: stamp }
spec: { bundle: "${digest}", config: ${config} }
`;

function digestOf(bytes: Uint8Array): Digest {
  return Digest.parse(`sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`);
}

function derive(artifact: Uint8Array) {
  if (!Buffer.from(artifact).toString("latin1").startsWith("good")) {
    return { ok: false as const, problems: [{ path: "world", message: "is not vespid:filter/filter@2.0.0" }] };
  }
  const digest = digestOf(artifact);
  const ref: BundleRef = {
    digest,
    manifest: Manifest.parse({
      name: "stamp",
      world: "vespid:filter/filter@2.0.0",
      stage: "transform",
      reads: [],
      writes: [],
      phases: ["request"],
      configSchema: {},
    }),
    files: [{ name: "core.wasm", digest, sizeBytes: artifact.length }],
  };
  return { ok: true as const, value: { ref, files: new Map([[digest, artifact]]) } };
}

describe("a resource", () => {
  test("is put, read, listed, put again unchanged, and deleted", async () => {
    await using api = startApi();
    expect(await api.send("PUT", ADDRESS, ENTRY)).toMatchObject({
      status: 201,
      body: { action: "created", revision: 1 },
    });
    const read = await api.send("GET", ADDRESS);
    expect(read.body).toMatchObject({
      metadata: {
        name: "reviews",
        namespace: "default",
        resourceVersion: "1",
        creationTimestamp: "1970-01-01T00:00:01.000Z",
      },
      spec: { hosts: ["reviews"] },
    });
    const again = await api.send("PUT", ADDRESS, JSON.stringify(read.body), { "content-type": "application/json" });
    expect(again).toMatchObject({ status: 200, body: { action: "unchanged", revision: 1 } });
    expect((await api.send("GET", "/v1/resources/ServiceEntry?limit=1")).body.items).toHaveLength(1);
    expect(await api.send("DELETE", ADDRESS)).toMatchObject({ status: 200, body: { revision: 2 } });
    expect(await api.send("GET", ADDRESS)).toMatchObject({ status: 404, type: "application/problem+json" });
    expect(await api.send("DELETE", ADDRESS)).toMatchObject({ status: 404 });
    const history = await api.send("GET", `${ADDRESS}/revisions`);
    expect(history.body.items.map(({ action }: { action: string }) => action)).toEqual(["deleted", "created"]);
  });

  test("changed meanwhile by another is a conflict that names both versions, and nothing changes", async () => {
    await using api = startApi();
    await api.send("PUT", ADDRESS, ENTRY);
    const theirs = ENTRY.replace("9080", "9081");
    await api.send("PUT", ADDRESS, theirs);
    const mine = ENTRY.replace("9080", "9082").replace("name: reviews", 'name: reviews, resourceVersion: "1"');
    const refused = await api.send("PUT", ADDRESS, mine);
    expect(refused).toMatchObject({
      status: 409,
      body: {
        problems: [{ path: "metadata.resourceVersion", message: "is 1, the resource is at 2" }],
        conflicts: [{ resource: "ServiceEntry default/reviews", expected: "1", actual: "2" }],
      },
    });
    expect((await api.send("GET", ADDRESS)).body.spec.ports[0].number).toBe(9081);
    expect(await api.send("DELETE", `${ADDRESS}?resourceVersion=1`)).toMatchObject({ status: 409 });
    expect(await api.send("PUT", ADDRESS, mine.replace('"1"', '"2"'))).toMatchObject({ status: 200 });
  });

  test("on a dry run is checked and not kept", async () => {
    await using api = startApi();
    expect(await api.send("PUT", `${ADDRESS}?dryRun=true`, ENTRY)).toMatchObject({
      status: 200,
      body: { action: "created" },
    });
    expect(await api.send("GET", ADDRESS)).toMatchObject({ status: 404 });
    expect(await api.send("PUT", `${ADDRESS}?dryRun=true`, ENTRY.replace("STATIC", "NONE"))).toMatchObject({
      status: 422,
    });
  });

  test("must be what its address says", async () => {
    await using api = startApi();
    const refused = await api.send(
      "PUT",
      "/v1/resources/ServiceEntry/shop/ratings",
      ENTRY.replace("name:", "namespace: x, name:"),
    );
    expect(refused.body.problems).toEqual([
      { path: "metadata.namespace", message: 'is "x", the address says "shop"' },
      { path: "metadata.name", message: 'is "reviews", the address says "ratings"' },
    ]);
    expect(await api.send("PUT", "/v1/resources/ServiceEntry/shop/reviews", ENTRY)).toMatchObject({
      body: { resource: { metadata: { namespace: "shop" } } },
    });
  });
});

describe("many at once", () => {
  test("are applied all or none, and every problem of every document is told", async () => {
    await using api = startApi();
    const broken = routeTo("reviews").replace("http:", "htpp:");
    const refused = await api.send("POST", "/v1/apply", `${ENTRY}---\n${broken}---\nkind: Gateway\n`);
    expect(refused).toMatchObject({ status: 422, type: "application/problem+json" });
    expect(refused.body.problems.map(({ path }: { path: string }) => path)).toEqual([
      "[1].spec.htpp",
      "[1].spec",
      "[2].kind",
    ]);
    expect((await api.send("GET", "/v1/resources")).body.items).toEqual([]);
    const applied = await api.send("POST", "/v1/apply", `${ENTRY}---\n# nothing here\n---\n${routeTo("reviews")}`);
    expect(applied.body).toMatchObject({
      revision: 1,
      warnings: [],
      results: [{ action: "created" }, { kind: "VirtualService" }],
    });
  });

  test("with one that conflicts are all refused", async () => {
    await using api = startApi();
    await api.send("PUT", ADDRESS, ENTRY);
    const stale = ENTRY.replace("name: reviews", 'name: reviews, resourceVersion: "7"');
    expect(await api.send("POST", "/v1/apply", `${routeTo("reviews")}---\n${stale}`)).toMatchObject({ status: 409 });
    expect(await api.send("GET", "/v1/resources/VirtualService/default/reviews")).toMatchObject({ status: 404 });
  });

  test("that name a resource twice are refused", async () => {
    await using api = startApi();
    const refused = await api.send("POST", "/v1/apply", `${ENTRY}---\n${ENTRY}`);
    expect(refused.body.problems).toEqual([
      { path: "[1].metadata.name", message: "ServiceEntry default/reviews comes twice in this body" },
    ]);
  });

  test("that are not YAML are told line and column", async () => {
    await using api = startApi();
    const refused = await api.send("POST", "/v1/apply", `${ENTRY}---\na: [1\nb: 2\n`);
    expect(refused.status).toBe(400);
    expect(refused.body.problems[0].message).toStartWith("line 11, column 1:");
    const bomb = `a: &a [x, x]\n${"bcdefghijk"
      .split("")
      .map((name, index) => `${name}: &${name} [${`*${"abcdefghij"[index]}, `.repeat(9)}]`)
      .join("\n")}`;
    expect(await api.send("POST", "/v1/apply", bomb)).toMatchObject({ status: 400 });
  });

  test("that stand for more than they are, or are too deep to be walked, are refused", async () => {
    await using api = startApi();
    const send = async (config: string) => {
      const { status, body } = await api.send("POST", "/v1/apply", `kind: Filter\nspec:\n  config:\n    ${config}\n`);
      return [status, body.problems[0].message];
    };
    const large = `a: &a ${"x".repeat(200_000)}\n    b: [${"*a, ".repeat(50)}]`;
    expect(await send(large)).toEqual([400, expect.stringContaining("more than 8388608 characters")]);
    expect(await send(`a: ${"[".repeat(300)}${"]".repeat(300)}`)).toEqual([400, "is nested deeper than 200 levels"]);
    // As deep as allowed, it is read, and only then refused for what it says.
    expect((await send(`a: ${"[".repeat(150)}${"]".repeat(150)}`))[0]).toBe(422);
  });
});

describe("references between resources", () => {
  test("to what is not there yet are taken with a warning, as Istio takes them", async () => {
    await using api = startApi();
    await api.send("PUT", ADDRESS, ENTRY);
    const path = "/v1/resources/VirtualService/default/reviews";
    const unknown = await api.send("PUT", path, routeTo("nowhere"));
    expect(unknown).toMatchObject({ status: 201 });
    expect(unknown.body.warnings).toEqual([
      {
        path: "spec.http[0].route[0].destination.host",
        message: "no ServiceEntry declares nowhere.default.svc.cluster.local; requests get 503 until one does",
      },
    ]);
    const subset = await api.send("PUT", path, routeTo("reviews", ", subset: v1"));
    expect(subset.body.warnings).toMatchObject([{ path: "spec.http[0].route[0].destination.subset" }]);
  });

  test("to a host of several ports must name one", async () => {
    await using api = startApi();
    const ports = ENTRY.replace("protocol: HTTP }", "protocol: HTTP }, { number: 9081, name: admin }");
    expect(await api.send("PUT", ADDRESS, ports)).toMatchObject({ body: { warnings: [{ path: "spec.ports" }] } });
    const path = "/v1/resources/VirtualService/default/reviews";
    expect((await api.send("PUT", path, routeTo("reviews"))).body.problems).toEqual([
      {
        path: "spec.http[0].route[0].destination.port",
        message: "is required, since reviews.default.svc.cluster.local has several ports: 9080, 9081",
      },
    ]);
    expect(await api.send("PUT", path, routeTo("reviews", ", port: { number: 9081 }"))).toMatchObject({ status: 201 });
  });
});

const usesUpstreams = (builtin: string, upstreams: string) =>
  `apiVersion: vespid.dev/v1\nkind: Filter\nmetadata: { name: asks }\nspec: { builtin: ${builtin}, upstreams: ${upstreams} }\n`;

describe("a filter's upstreams", () => {
  const path = "/v1/resources/Filter/default/asks";
  const put = async (api: Api, builtin: string, upstreams: string) => {
    const { status, body } = await api.send("PUT", path, usesUpstreams(builtin, upstreams));
    return { status, problems: body.problems, warnings: body.warnings };
  };

  test("are those that it calls, no fewer and no others", async () => {
    await using api = startApi();
    await api.send("PUT", ADDRESS, ENTRY);
    expect(await put(api, "header-rewrite", "{ users: { host: reviews } }")).toMatchObject({
      status: 201,
      warnings: [],
    });
    expect(await put(api, "header-rewrite", "{ others: { host: reviews } }")).toMatchObject({
      status: 422,
      problems: [
        { path: "spec.upstreams.users", message: "is required: the filter calls it; name its host" },
        { path: "spec.upstreams.others", message: "is not an upstream of this filter; the filter calls users" },
      ],
    });
    expect(await put(api, "cors", "{ others: { host: reviews } }")).toMatchObject({
      problems: [{ message: "is not an upstream of this filter; the filter calls none" }],
    });
    expect(await put(api, "header-rewrite", '{ users: { host: "*.test", timeout: 11m } }')).toMatchObject({
      problems: [
        { path: "spec.upstreams.users.host", message: '"*.test" is a wildcard, must be one service' },
        { path: "spec.upstreams.users.timeout", message: "must be 1ms to 10m" },
      ],
    });
  });

  test("that lead to what is not there yet are taken with a warning that names it", async () => {
    await using api = startApi();
    await api.send("PUT", ADDRESS, ENTRY);
    expect(await put(api, "header-rewrite", "{ users: { host: nowhere } }")).toMatchObject({
      status: 201,
      warnings: [
        {
          path: "spec.upstreams.users.host",
          message: "no ServiceEntry declares nowhere.default.svc.cluster.local; calls fail until one does",
        },
      ],
    });
    expect(await put(api, "header-rewrite", "{ users: { host: reviews, port: 1, subset: v1 } }")).toMatchObject({
      warnings: [{ path: "spec.upstreams.users.port" }, { path: "spec.upstreams.users.subset" }],
    });
  });

  test("of a host of several ports must name one", async () => {
    await using api = startApi();
    await api.send(
      "PUT",
      ADDRESS,
      ENTRY.replace("protocol: HTTP }", "protocol: HTTP }, { number: 9081, name: admin }"),
    );
    expect(await put(api, "header-rewrite", "{ users: { host: reviews } }")).toMatchObject({
      problems: [{ path: "spec.upstreams.users.port" }],
    });
  });
});

describe("a bundle", () => {
  const path = "/v1/resources/Filter/default/stamp";

  test("is derived once, served by digest, and kept while a filter uses it", async () => {
    await using api = startApi();
    const artifact = Buffer.from("good artifact");
    const digest = digestOf(artifact);
    expect(await api.send("POST", "/v1/bundles", artifact)).toMatchObject({ status: 201, body: { digest } });
    expect(await api.send("POST", "/v1/bundles", artifact)).toMatchObject({ status: 200, body: { digest } });
    const blob = await api.send("GET", `/v1/blobs/${digest}`);
    expect(blob).toMatchObject({ status: 200, body: "good artifact" });
    expect(blob.headers.get("cache-control")).toContain("immutable");
    expect(await api.send("PUT", path, filter(digest))).toMatchObject({ status: 201 });
    const inUse = await api.send("DELETE", `/v1/bundles/${digest}`);
    expect(inUse).toMatchObject({ status: 409 });
    expect(inUse.body.detail).toContain("Filter default/stamp");
    await api.send("DELETE", path);
    expect(await api.send("DELETE", `/v1/bundles/${digest}`)).toMatchObject({ status: 200 });
    expect(await api.send("GET", `/v1/blobs/${digest}`)).toMatchObject({ status: 404 });
  });

  test("that does not fit is refused by path, and so is a filter without its bundle or with a config that does not fit", async () => {
    await using api = startApi();
    expect((await api.send("POST", "/v1/bundles", "bad")).body.problems).toMatchObject([{ path: "world" }]);
    expect(await api.send("POST", "/v1/bundles", "")).toMatchObject({ status: 400 });
    const missing = `sha256:${"0".repeat(64)}`;
    expect((await api.send("PUT", path, filter(missing))).body.problems).toMatchObject([{ path: "spec.bundle" }]);
    const { body } = await api.send("POST", "/v1/bundles", "good");
    expect((await api.send("PUT", path, filter(body.digest, "{ realm: x }"))).body.problems).toEqual([
      { path: "spec.config.realm", message: "is not known" },
    ]);
  });
});

describe("who may", () => {
  test("changes need the token, reads from this machine do not", async () => {
    await using api = startApi();
    for (const authorization of ["", "Bearer wrong", `Basic ${TOKEN}`]) {
      // One after the other, so that a failure names its case.
      // oxlint-disable-next-line no-await-in-loop
      const refused = await api.send("PUT", ADDRESS, ENTRY, { authorization });
      expect(refused).toMatchObject({ status: 401, type: "application/problem+json" });
    }
    expect(await api.send("GET", "/v1/proxies", undefined, { authorization: "" })).toMatchObject({ status: 200 });
  });

  test("the token of the first run is told once, and its hash is what the store has", async () => {
    const store = openSqliteStore(":memory:");
    const written: string[] = [];
    const watched = {
      ...store,
      writeSetting: (name: string, value: string) => (written.push(value), store.writeSetting(name, value)),
    };
    const { openToken } = await import("./auth.ts");
    const first = openToken(watched, undefined);
    expect(first.created).toStartWith("vsp_");
    expect(first.check(`Bearer ${first.created}`)).toBe(true);
    expect(written.join()).not.toContain(first.created ?? "?");
    const second = openToken(watched, undefined);
    expect(second.created).toBeUndefined();
    expect(second.check(`Bearer ${first.created}`)).toBe(true);
    const third = openToken(watched, "chosen");
    expect([third.check("Bearer chosen"), third.check(`Bearer ${first.created}`)]).toEqual([true, false]);
    store.close();
  });

  test("a page of a browser neither reads by a name that it rebound, nor connects as a proxy", async () => {
    await using api = startApi();
    expect(await api.send("GET", "/v1/proxies", undefined, { host: "evil.test" })).toMatchObject({ status: 403 });
    const upgrade = {
      upgrade: "websocket",
      connection: "upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "x3JJHMbDL1EzLkh9GBhXDw==",
    };
    expect(await api.send("GET", "/v1/push", undefined, { ...upgrade, origin: "http://evil.test" })).toMatchObject({
      status: 403,
    });
  });
});

test("a listener that others reach too answers reads without the token to this machine by its name, and blobs to all", async () => {
  await using api = startApi("0.0.0.0");
  const authorization = "";
  expect(await api.send("GET", "/v1/proxies", undefined, { authorization, host: "evil.test" })).toMatchObject({
    status: 401,
  });
  expect(await api.send("GET", "/v1/proxies", undefined, { host: "mesh.test" })).toMatchObject({ status: 200 });
  expect(await api.send("GET", "/v1/proxies", undefined, { authorization, host: "localhost:1" })).toMatchObject({
    status: 200,
  });
  expect(await api.send("GET", "/v1/blobs/none", undefined, { authorization, host: "mesh.test" })).toMatchObject({
    status: 404,
  });
});

describe("what nothing answers", () => {
  test.each([
    ["GET", "/v1/nothing", undefined, 404],
    ["GET", "/v1/resources/Gateway/default/x", undefined, 404],
    ["POST", "/v1/resources/ServiceEntry/default/reviews", ENTRY, 405],
    ["PUT", "/v1/proxies", "", 405],
    ["PUT", ADDRESS, "x".repeat(9 * 1024 * 1024), 413],
    ["GET", "/v1/push", undefined, 400],
    ["GET", "/v1/resources?limit=0", undefined, 422],
    ["GET", "/v1/blobs/nonsense", undefined, 404],
  ])("%s %s", async (method, path, body, status) => {
    await using api = startApi();
    expect(await api.send(method, path, body)).toMatchObject({
      status,
      type: "application/problem+json",
      body: { status },
    });
  });

  test("a media type that is neither YAML nor JSON", async () => {
    await using api = startApi();
    expect(await api.send("PUT", ADDRESS, ENTRY, { "content-type": "text/html" })).toMatchObject({ status: 415 });
  });
});

test("the OpenAPI document describes every kind by the schema that checks it", () => {
  const document = JSON.parse(JSON.stringify(renderOpenApi()));
  expect(document.openapi).toBe("3.1.0");
  expect(Object.keys(document.paths)).toContain("/v1/resources/{kind}/{namespace}/{name}");
  expect(document.components.schemas.VirtualService.properties.spec.required).toEqual(["hosts"]);
  const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/gu)].map(
    ([, name]) => name,
  );
  expect(references.filter((name) => name !== undefined && !(name in document.components.schemas))).toEqual([]);
});
