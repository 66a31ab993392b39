// Headers come and go as configured.
import { describe, expect, test } from "bun:test";
import { runFilter } from "../../sdk/testing/run-filter.ts";
import filter from "./filter.ts";
import { compileTemplate } from "./template.ts";

test("removes, sets and adds, on the way down and up", async () => {
  const { forwarded, reply } = await runFilter(filter, {
    headers: { "x-debug": "1", "X-Tenant": "old", accept: "a" },
    sourceIp: "10.1.2.3",
    routeName: "main",
    config: {
      request: {
        set: { "X-Tenant": "books", "x-client": "{source.ip} {request.id}!" },
        add: { accept: "b" },
        remove: ["X-Debug"],
      },
      response: { set: { "x-route": "{route.name}" }, remove: ["server"] },
    },
    upstream: { headers: { server: "app" } },
  });
  expect(forwarded?.headers).toEqual({ accept: "a, b", "x-tenant": "books", "x-client": "10.1.2.3 !" });
  expect(reply.headers).toMatchObject({ "x-route": "main" });
  expect(reply.headers["server"]).toBeUndefined();
});

test.each([
  [{ request: { set: { "content-length": "1" } } }, "is set by the proxy"],
  [{ request: { set: { "bad name": "1" } } }, "is not a header name"],
  [{ request: { set: { "x-a": "a\r\nb" } } }, "character that a header cannot have"],
  [{ request: { set: { "x-a": "{nope}" } } }, 'names "nope"'],
  [{ request: { put: {} } }, "put"],
])("refuses %j", async (config, message) => {
  expect(await runFilter(filter, { config }).catch(String)).toContain(message);
});

describe("a template", () => {
  test.each([
    ["plain", "plain"],
    ["{source.ip}", "<source.ip>"],
    ["{{{:path}}}", "{<:path>}"],
    ["{{source.ip}}", "{source.ip}"],
  ])("%p renders as %p", (text, rendered) => {
    const template = compileTemplate(text);
    expect(typeof template === "string" ? template : template((name) => `<${name}>`)).toBe(rendered);
  });

  test.each(["{", "}", "{source.ip", "a}b", "{}"])("%p is a problem", (text) => {
    expect(typeof compileTemplate(text)).toBe("string");
  });
});
