// What fits its description passes, and what does not is told what is wrong.
import { expect, test } from "bun:test";
import { describeLibraryFilter, type Sending, type Sent } from "../../test/contract/library.ts";
import { describeThings, makeThing } from "../../test/fixtures/openapi/things.ts";
import filter from "./filter.ts";

const JSON_TYPE = { "content-type": "application/json" };
const FORM_TYPE = { "content-type": "application/x-www-form-urlencoded" };

/** A shop, with what documents in the wild have. */
const SHOP = {
  openapi: "3.0.3",
  info: { title: "shop", version: "1" },
  servers: [
    {
      url: "https://{region}.example.com/{base}",
      variables: { region: { default: "eu" }, base: { default: "v1", enum: ["v1", "v2"] } },
    },
  ],
  paths: {
    "/pets": {
      parameters: [{ $ref: "#/components/parameters/limit" }],
      get: {
        parameters: [
          {
            name: "tags",
            in: "query",
            explode: false,
            schema: { type: "array", items: { type: "string", maxLength: 3 }, maxItems: 2 },
          },
          { name: "ids", in: "query", schema: { type: "array", items: { type: "integer" } } },
          {
            name: "filter",
            in: "query",
            style: "deepObject",
            schema: { type: "object", properties: { age: { type: "integer" } }, additionalProperties: false },
          },
          { name: "either", in: "query", schema: { oneOf: [{ type: "integer" }, { type: "string", enum: ["all"] }] } },
          {
            name: "where",
            in: "query",
            content: { "application/json": { schema: { type: "object", required: ["a"] } } },
          },
          { name: "X-Trace", in: "header", required: true, schema: { type: "string", pattern: "^[0-9a-f]+$" } },
          { name: "seen", in: "cookie", schema: { type: "boolean" } },
          { name: "Accept", in: "header", schema: { type: "integer" } },
        ],
        responses: {
          "200": {
            description: "",
            content: { "application/json": { schema: { type: "array", items: { $ref: "#/components/schemas/Pet" } } } },
          },
        },
      },
      post: {
        requestBody: { $ref: "#/components/requestBodies/Pet" },
        responses: { "2XX": { description: "" }, default: { description: "" } },
      },
    },
    "/pets/{id}": {
      get: {
        parameters: [
          { name: "id", in: "path", required: true, schema: { type: "integer", minimum: 0, exclusiveMinimum: true } },
        ],
        responses: {},
      },
      put: {
        parameters: [{ name: "id", in: "path", required: true, schema: {} }],
        requestBody: { content: { "*/*": {} } },
        responses: {},
      },
    },
    "/pets/mine": { get: { responses: {} } },
    "/files/{name}.{ext}": {
      get: {
        parameters: [{ name: "ext", in: "path", required: true, schema: { enum: ["txt", "md"] } }],
        responses: {},
      },
    },
  },
  components: {
    parameters: { limit: { name: "limit", in: "query", schema: { type: "integer", maximum: 100 } } },
    requestBodies: {
      Pet: {
        required: true,
        content: {
          "application/json; charset=utf-8": { schema: { $ref: "#/components/schemas/Pet" } },
          "application/x-www-form-urlencoded": { schema: { $ref: "#/components/schemas/Pet" } },
          "image/*": {},
        },
      },
    },
    schemas: {
      Pet: {
        type: "object",
        required: ["id", "name"],
        properties: {
          id: { type: "integer", readOnly: true },
          name: { type: "string", minLength: 1, example: 7, description: "a name" },
          age: { type: "integer", nullable: true },
          tags: { type: "array", items: { type: "string" } },
          parent: { allOf: [{ $ref: "#/components/schemas/Pet" }] },
        },
        additionalProperties: false,
      },
    },
  },
};

const get = (path: string, headers: Record<string, string> = {}): Sending => ({
  path,
  headers: { "x-trace": "ab", ...headers },
});
const post = (body: Sending["body"], headers: Record<string, string> = JSON_TYPE): Sending => ({
  method: "POST",
  path: "/v1/pets",
  headers,
  ...(body !== undefined && { body }),
});

function errorsOf({ body }: Sent): readonly string[] {
  const { errors = [] } = body.startsWith("{") ? JSON.parse(body) : {};
  return errors.map(
    (error: Record<string, string>) =>
      `${error["in"]} ${error["name"] ?? ""}${error["pointer"] ?? ""}: ${error["detail"]}`,
  );
}

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test("what fits passes, and is not changed", async () => {
    const shop = await start({ config: { document: SHOP } });
    for (const sending of [
      get("/v1/pets"),
      get("/v2/pets?limit=100&tags=a,bcd&ids=1&ids=2&filter[age]=3&either=7&where=%7B%22a%22%3A1%7D&other=x", {
        cookie: "seen=true; b=1",
        accept: "*/*",
      }),
      get("/v1/pets?either=all"),
      get("/v1/pets/1"),
      get("/v1/pets/mine"),
      get("/v1/files/a.md"),
      post('{"name":"Rex","age":null,"parent":{"name":"Max"}}'),
      post("name=Rex&age=3&tags=a&tags=b+c&parent=%7B%22name%22%3A%22Max%22%7D", FORM_TYPE),
      post("not looked at", { "content-type": "image/png" }),
      { ...get("/v1/pets"), method: "HEAD" },
      {
        method: "OPTIONS",
        path: "/v1/pets",
        headers: { origin: "https://a.example", "access-control-request-method": "PUT" },
      },
    ]) {
      const sent = await shop.send(sending);
      expect(sent).toMatchObject({ status: 200, failure: undefined });
      if (typeof sending.body === "string") expect(sent.forwarded?.body).toBe(sending.body);
    }
  });

  test.each<[string, Sending, readonly string[]]>([
    ["a number beyond its bound", get("/v1/pets?limit=101"), ["query limit: must be at most 100, is 101"]],
    ["a text for a number", get("/v1/pets?limit=1e"), ["query limit: must be integer, is string"]],
    [
      "a number beyond numbers",
      get("/v1/pets?limit=1e999"),
      ["query limit: must be integer, is number", "query limit: must be at most 100, is Infinity"],
    ],
    ["a parameter that is given twice", get("/v1/pets?limit=1&limit=2"), ["query limit: is given 2 times"]],
    ["what is not UTF-8", get("/v1/pets?limit=%ff"), ["query limit: must be percent-coded UTF-8"]],
    [
      "a list",
      get("/v1/pets?tags=a,long,c&ids=1&ids=x"),
      [
        "query tags: has 3 items, must have at most 2",
        "query tags#/1: has 4 characters, must have at most 3",
        "query ids#/1: must be integer, is string",
      ],
    ],
    [
      "a deep object",
      get("/v1/pets?filter[age]=x&filter[b]=1"),
      ["query filter#/b: is not allowed", "query filter#/age: must be integer, is string"],
    ],
    ["a deeper object", get("/v1/pets?filter[a][b]=1"), ["query filter: must be written as name[property]"]],
    ["alternatives", get("/v1/pets?either=some"), ["query either: fits 0 of the alternatives, must fit one"]],
    ["JSON in a query", get("/v1/pets?where=%7B%7D"), ["query where#/a: is required"]],
    ["a header that is missing", { path: "/v1/pets" }, ["header x-trace: is required"]],
    [
      "a header and a cookie",
      get("/v1/pets", { "x-trace": "xyz", cookie: "seen=maybe" }),
      ['header x-trace: must match "^[0-9a-f]+$"', "cookie seen: must be boolean, is string"],
    ],
    ["a path", get("/v1/pets/0"), ["path id: must be more than 0, is 0"]],
    ["a coded slash in a path", get("/v1/pets/1%2F2"), ["path id: must be integer, is string"]],
    ["a part of a segment", get("/v1/files/a.exe"), ["path ext: is none of the values allowed"]],
    ["dots in a path", get("/v1/pets/../admin"), ["path : path must not hold the segments . and .."]],
    ["coded dots in a path", get("/v1/pets/%2e%2e%2fadmin"), ["path : path must not hold the segments . and .."]],
    ["a path that is not UTF-8", get("/v1/pets/%ff"), ["path : path must be percent-coded UTF-8"]],
    ["a body that is none", post("{"), [expect.stringMatching(/^body #: is not JSON/u)]],
    ["two bodies", post('{"name":"a"},{"name":"b"}'), [expect.stringMatching(/^body #: is not JSON/u)]],
    ["a body that is missing", post(""), ["body #: is required"]],
    ["a body without a type that is missing", post(undefined, {}), ["body #: is required"]],
    [
      "members",
      post('{"name":"","nick":1,"parent":{"name":2}}'),
      [
        "body #/nick: is not allowed",
        "body #/name: has 0 characters, must have at least 1",
        "body #/parent/name: must be string, is number",
      ],
    ],
    ["members of which the last counts", post('{"name":"a","name":1}'), ["body #/name: must be string, is number"]],
    [
      "bytes that are not UTF-8",
      post(Buffer.from('{"name":"\xff"}', "latin1")),
      ['body #: is not JSON: "bytes that are not UTF-8"'],
    ],
    [
      "a form",
      post("age=x&nick=1", FORM_TYPE),
      ["body #/name: is required", "body #/nick: is not allowed", "body #/age: must be integer, is string"],
    ],
    [
      "an object in a form",
      post("name=a&parent=%7B%22name%22%3A1%7D", FORM_TYPE),
      ["body #/parent/name: must be string, is number"],
    ],
    [
      "no object in a form",
      post('name=a&parent=1,"nick":1', FORM_TYPE),
      [expect.stringMatching(/^body #\/parent: is not JSON/u)],
    ],
    ["a form's field twice", post("name=a&name=b", FORM_TYPE), ["body #/name: is given 2 times"]],
  ])("%s is told", async (_, sending, errors) => {
    const shop = await start({ config: { document: SHOP } });
    const sent = await shop.send(sending);
    expect(sent).toMatchObject({ status: 400, forwarded: undefined, failure: undefined });
    expect(sent.headers["content-type"]).toBe("application/problem+json");
    expect(JSON.parse(sent.body)).toMatchObject({ type: "about:blank", title: "Bad Request", status: 400 });
    expect(errorsOf(sent).toSorted()).toEqual(errors.toSorted());
  });

  test("paths and methods that are not described are refused, or pass", async () => {
    const shop = await start({ config: { document: SHOP } });
    for (const path of [
      "/pets",
      "/v1",
      "/v1/pets/",
      "/v1//pets",
      "/v1/pets/1/x",
      "/v3/pets",
      "/v1/files/.md",
      "/v1/Pets",
    ])
      expect((await shop.send(get(path))).status).toBe(404);
    const sent = await shop.send({ method: "DELETE", path: "/v1/pets/1" });
    expect(sent).toMatchObject({ status: 405, headers: { allow: "GET, PUT, HEAD" } });
    const lax = await start({ config: { document: SHOP, unknownPaths: "pass" } });
    expect((await lax.send({ method: "DELETE", path: "/v1/pets/1" })).status).toBe(200);
    expect((await lax.send(get("/other"))).status).toBe(200);
    expect((await lax.send(get("/v1/pets/%2e%2e"))).status).toBe(400);
  });

  test("bodies of other types, of none, coded ones and long ones are refused", async () => {
    const shop = await start({ config: { document: SHOP, maxBytes: 100 } });
    const other = await shop.send(post("x", { "content-type": "text/plain" }));
    expect(other).toMatchObject({
      status: 415,
      headers: { accept: "application/json, application/x-www-form-urlencoded, image/*" },
    });
    expect((await shop.send(post("{}", {}))).status).toBe(415);
    expect((await shop.send(post("{}", { "content-type": "application/json, text/plain" }))).status).toBe(415);
    expect((await shop.send(post("{}", { ...JSON_TYPE, "content-encoding": "gzip" }))).status).toBe(415);
    const long = `{"name":"${"x".repeat(100)}"}`;
    expect((await shop.send(post(long, { ...JSON_TYPE, "content-length": String(long.length) }))).status).toBe(413);
    expect((await shop.send(post([long]))).status).toBe(413);
  });

  test("so many problems are named, of whatever size they are", async () => {
    const shop = await start({ config: { document: SHOP, problemsMax: 2 } });
    const key = "k".repeat(100_000);
    const sent = await shop.send(post(`{"${key}":1,"b":1,"c":1}`));
    expect(errorsOf(sent)).toHaveLength(2);
    expect(sent.body.length).toBeLessThan(1000);
    const deep = await shop.send(post(`${'{"name":"a","parent":'.repeat(20_000)}{}${"}".repeat(20_000)}`));
    expect(deep).toMatchObject({ status: 400, failure: undefined });
    expect(errorsOf(deep)).toEqual(["body #: is nested more than 256 deep"]);
  });

  test("in report, everything passes and is told of", async () => {
    const logs: unknown[] = [];
    const log = (_: string, message: string, fields: object): void => void logs.push({ message, ...fields });
    const shop = await start({ config: { document: SHOP, mode: "report" }, log });
    const told = await shop.send(post('{"name":1}', { ...JSON_TYPE, "content-length": "10" }));
    expect(told).toMatchObject({
      status: 200,
      forwarded: { body: '{"name":1}' },
      metadata: { request_problems: "body /name: must be string, is number" },
    });
    expect(told.forwarded?.headers["content-length"]).toBe("10");
    expect((await shop.send(post(['{"na', 'me":"ä"}']))).forwarded?.body).toBe('{"name":"ä"}');
    expect((await shop.send(post(['{"na', 'me":2}']))).forwarded?.body).toBe('{"name":2}');
    expect((await shop.send(get("/nowhere"))).metadata).toEqual({ request_problems: "unknown_path" });
    expect(logs).toEqual([
      expect.objectContaining({ outcome: "invalid", problems: ["body /name: must be string, is number"] }),
      expect.objectContaining({ outcome: "invalid", problems: ["body /name: must be string, is number"] }),
      expect.objectContaining({ outcome: "unknown_path", path: "/nowhere" }),
    ]);
  });

  test("replies are told of, and pass", async () => {
    const problems: unknown[] = [];
    const log = (_: string, __: string, fields: Readonly<Record<string, unknown>>): void =>
      void problems.push(fields["problems"]);
    const shop = await start({ config: { document: SHOP, replies: "report" }, log });
    const reply = async (body: string, headers: Record<string, string> = JSON_TYPE, status = 200): Promise<string> =>
      (await shop.send({ ...get("/v1/pets"), upstream: { status, headers, body } })).body;
    const right = '[{"id":1,"name":"a"}]';
    expect(await reply(right)).toBe(right);
    expect(await reply('[{"name":"a"}]')).toBe('[{"name":"a"}]');
    expect(await reply("[1]", { ...JSON_TYPE, "content-length": "3" })).toBe("[1]");
    await reply("no", { "content-type": "text/plain" });
    await reply("", {}, 404);
    expect(problems).toEqual([
      ["body /0/id: is required"],
      ["body /0: must be object, is number"],
      ["header content-type: is not described"],
      ["header status: 404 is not described"],
    ]);
  });

  test("three hundred operations are compiled within a bound, and asked about at once", async () => {
    const things = await start({ config: { document: describeThings() }, limits: { fuel: 30_000_000 } });
    const send = (body: string): Promise<Sent> =>
      things.send({ method: "POST", path: "/v1/things7", headers: JSON_TYPE, body });
    expect((await send(makeThing())).forwarded?.body).toBe(makeThing());
    const wrong = await send(makeThing().replace("12345", "1234x").replace('"Ada"', "1"));
    expect(errorsOf(wrong)).toEqual(
      [
        "body #/parts/0/owner: fits 0 of the alternatives, must fit one",
        'body #/parts/0/address/zip: must match "^\\\\d{5}$"',
      ].toSorted(),
    );
    expect((await things.send({ path: "/v1/things9/1" })).status).toBe(400);
    expect((await things.send({ path: "/v1/things99/1" })).status).toBe(404);
  });

  test("3.1 has JSON Schema's words, where 3.0 has its own", async () => {
    const schema = {
      type: ["object", "null"],
      properties: {
        a: { const: 1 },
        b: { exclusiveMinimum: 1 },
        c: { $ref: "#/components/schemas/C", maxLength: 1 },
        d: { type: "integer", nullable: true },
      },
      propertyNames: { maxLength: 3 },
    };
    const make = (openapi: string): object => ({
      openapi,
      paths: { "/": { post: { requestBody: { content: { "application/json": { schema } } }, responses: {} } } },
      components: { schemas: { C: { type: "string" } } },
    });
    const send = async (openapi: string, body: string): Promise<readonly string[]> => {
      const described = await start({ config: { document: make(openapi) } });
      return errorsOf(await described.send({ method: "POST", headers: JSON_TYPE, body }));
    };
    expect(await send("3.1.1", '{"a":2,"b":1,"c":"xy","d":null,"long":1}')).toHaveLength(5);
    expect(await send("3.0.0", '{"a":1,"b":2,"c":"xy","d":null}')).toEqual([]);
    expect(await send("3.1.0", "null")).toEqual([]);
  });

  test("a range has its schema hold for JSON and forms, and takes all else", async () => {
    const schema = { type: "object", properties: { "x-size": { type: "integer" } }, required: ["x-size"] };
    const document = {
      openapi: "3.1.0",
      paths: { "/": { post: { requestBody: { content: { "*/*": { schema } } }, responses: {} } } },
    };
    const any = await start({ config: { document } });
    const send = async (type: string, body: string): Promise<number> =>
      (await any.send({ method: "POST", headers: { "content-type": type }, body })).status;
    expect([await send("application/json", '{"x-size":1}'), await send("application/json", "{}")]).toEqual([200, 400]);
    expect([
      await send(FORM_TYPE["content-type"], "x-size=1"),
      await send(FORM_TYPE["content-type"], "x-size=a"),
    ]).toEqual([200, 400]);
    expect(await send("text/plain", "anything")).toBe(200);
  });

  test("references lead anywhere in the document, and back", async () => {
    const node = {
      type: "object",
      properties: {
        next: { $ref: "#/paths/~1/post/requestBody/content/application~1json/schema" },
        size: { $ref: "#/x-sizes/small" },
      },
    };
    const document = {
      openapi: "3.1.0",
      "x-sizes": { small: { maximum: 9 } },
      paths: {
        "/": { post: { requestBody: { content: { "application/json": { schema: node } } }, responses: {} } },
        "/same": { $ref: "#/paths/~1" },
      },
    };
    const described = await start({ config: { document } });
    const sent = await described.send({
      method: "POST",
      path: "/same",
      headers: JSON_TYPE,
      body: '{"next":{"next":{"size":10}}}',
    });
    expect(errorsOf(sent)).toEqual(["body #/next/next/size: must be at most 9, is 10"]);
    const circle = { openapi: "3.1.0", paths: { "/": { $ref: "#/paths/~1a" }, "/a": { $ref: "#/paths/~1" } } };
    expect(await start({ config: { document: circle } }).catch(String)).toContain(
      "#/paths/~1: $ref leads to more than 32 others",
    );
  });

  test.each<[string, object, readonly string[]]>([
    ["another version", { openapi: "2.0" }, ['#/openapi: is "2.0", must be 3.0.x or 3.1.x']],
    ["no version", {}, ['#/openapi: is "", must be 3.0.x or 3.1.x']],
    [
      "references",
      { parameters: [{ $ref: "#/components/x" }] },
      ['#/paths/~1a~1{b}/get/parameters/0: $ref "#/components/x" leads nowhere'],
    ],
    [
      "a reference out of the document",
      { requestBody: { $ref: "other.json" } },
      ['#/paths/~1a~1{b}/get/requestBody: $ref "other.json" must lead to a part of this document'],
    ],
    [
      "a schema",
      {
        requestBody: {
          content: { "application/json": { schema: { properties: { c: { unevaluatedProperties: false } } } } },
        },
      },
      [
        "#/paths/~1a~1{b}/get/requestBody/content/application~1json/schema/properties/c/unevaluatedProperties: unevaluatedProperties is not supported",
      ],
    ],
    [
      "a pattern",
      { requestBody: { content: { "application/json": { schema: { pattern: "(?=a)" } } } } },
      ["#/paths/~1a~1{b}/get/requestBody/content/application~1json/schema: "],
    ],
    [
      "a style",
      { parameters: [{ name: "b", in: "path", required: true, style: "matrix", schema: {} }] },
      ['#/paths/~1a~1{b}/get/parameters/0: style "matrix" is not supported in path, must be simple'],
    ],
  ])("a document with %s is a problem, told by its pointer", async (_, operation, messages) => {
    const document =
      "openapi" in operation || Object.keys(operation).length === 0
        ? operation
        : { openapi: "3.1.0", paths: { "/a/{b}": { get: operation } } };
    const problem = await start({ config: { document } }).catch(String);
    for (const message of messages) expect(problem).toContain(`config.document: ${message}`);
  });
});
