// Who passes is what the service says, and what it says of them gets where it is configured to go.
import { describe, expect, test } from "bun:test";
import { describeLibraryFilter, type Called } from "../../test/contract/library.ts";
import filter from "./filter.ts";
import { compileNames } from "./names.ts";

const text = (body: string): Uint8Array => new TextEncoder().encode(body);
const fieldsOf = ({ headers }: Called): Record<string, string> => Object.fromEntries(headers);

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test("a check carries method, path, credentials and what is configured, and no more", async () => {
    const calls: Called[] = [];
    const auth = await start({
      config: {
        pathPrefix: "/check",
        timeout: "200ms",
        includeRequestHeadersInCheck: ["x-tenant", "x-b3-*", "*-id"],
        includeAdditionalHeadersInCheck: { "X-Source": "mesh", "x-tenant": "fixed" },
      },
      upstreams: {
        auth: (request) => {
          calls.push(request);
          return {};
        },
      },
    });
    const headers = {
      authorization: "Bearer t",
      "X-Tenant": "own",
      "x-b3-spanid": "1",
      "session-id": "2",
      cookie: "secret",
      "content-length": "4",
    };
    const sent = await auth.send({ method: "PUT", path: "/a?b=c", authority: "shop", headers, body: "body" });
    expect(sent).toMatchObject({ status: 200, forwarded: { body: "body" } });
    expect(calls).toHaveLength(1);
    const [call] = calls;
    expect(call).toMatchObject({ cluster: "auth", method: "PUT", path: "/check/a?b=c", timeoutMs: 200 });
    expect(call === undefined ? {} : fieldsOf(call)).toEqual({
      authorization: "Bearer t",
      "x-b3-spanid": "1",
      "session-id": "2",
      "x-forwarded-host": "shop",
      "x-source": "mesh",
      "x-tenant": "fixed",
    });
    expect(call?.body).toHaveLength(0);
  });

  test("a denial is the client's answer, cookies one by one, with all of its fields or those that are configured", async () => {
    const denial = {
      status: 302,
      headers: [
        ["location", "/login"],
        ["set-cookie", "a=1; expires=Thu, 01 Jan"],
        ["set-cookie", "b=2"],
        ["x-why", "none"],
        ["content-length", "2"],
      ] as const,
      body: text("no"),
    };
    const all = await start({ upstreams: { auth: () => denial } });
    const sent = await all.send();
    expect(sent).toMatchObject({ status: 302, body: "no", forwarded: undefined });
    expect(sent.headers).toMatchObject({ location: "/login", "x-why": "none", "content-length": "2" });
    expect(sent.headers["set-cookie"]).toBe("a=1; expires=Thu, 01 Jan, b=2");
    const some = await start({
      config: { headersToDownstreamOnDeny: ["x-other"] },
      upstreams: { auth: () => denial },
    });
    expect(Object.keys((await some.send()).headers).toSorted()).toEqual(["content-length", "content-type", "location"]);
  });

  test("what the service says of an allowed request replaces what the client said of itself", async () => {
    const auth = await start({
      config: {
        headersToUpstreamOnAllow: ["authorization", "x-auth-*"],
        headersToDownstreamOnAllow: ["x-quota", "set-cookie"],
      },
      upstreams: {
        auth: () => ({
          headers: [
            ["x-auth-user", "ada"],
            ["x-other", "1"],
            ["x-quota", "7"],
            ["set-cookie", "a=1"],
            ["set-cookie", "b=2"],
          ],
        }),
      },
    });
    const { forwarded, headers } = await auth.send({
      headers: { "x-auth-user": "root", "x-auth-role": "admin", authorization: "Bearer t", "x-other": "own" },
    });
    expect(forwarded?.headers).toEqual({ "x-auth-user": "ada", authorization: "Bearer t", "x-other": "own" });
    expect(headers).toMatchObject({ "x-quota": "7", "set-cookie": "a=1, b=2" });
    expect(headers["x-auth-user"]).toBeUndefined();
  });

  test.each([
    [{}, 403, undefined],
    [{ statusOnError: 503 }, 503, undefined],
    [{ failOpen: true }, 200, ""],
  ])("with %j, a check that fails is answered %d", async (config, status, body) => {
    for (const answer of ["timeout", "connection refused", { status: 500 }, { status: 503 }]) {
      const auth = await start({ config, upstreams: { auth: () => answer } });
      const sent = await auth.send({ headers: { "x-ext": "1" } });
      expect(sent.status).toBe(status);
      expect(sent.forwarded?.body).toBe(body);
    }
  });

  test.each([
    ["12345", false, "12345", "false", 200],
    ["123456", false, undefined, undefined, 413],
    ["123456", true, "12345", "true", 200],
  ])("a body %p, in part %p, is checked as %p", async (body, allowPartialMessage, seen, isPart, status) => {
    const bodies: string[] = [];
    const parts: (string | undefined)[] = [];
    const auth = await start({
      config: { includeRequestBodyInCheck: { maxRequestBytes: 5, allowPartialMessage } },
      upstreams: {
        auth: (request) => {
          bodies.push(new TextDecoder().decode(request.body));
          parts.push(fieldsOf(request)["x-envoy-auth-partial-body"]);
          return {};
        },
      },
    });
    const sent = await auth.send({ method: "POST", body: [body.slice(0, 3), body.slice(3)] });
    expect(sent.status).toBe(status);
    expect(sent.forwarded?.body).toBe(status === 200 ? body : undefined);
    expect([bodies[0], parts[0]]).toEqual([seen, isPart]);
  });

  test("excepted paths are not checked", async () => {
    const auth = await start({ config: { except: ["/healthz"] }, upstreams: { auth: () => ({ status: 401 }) } });
    expect((await auth.send({ path: "/healthz/ready" })).status).toBe(200);
    expect((await auth.send({ path: "/health" })).status).toBe(401);
  });

  test.each([
    [{ includeRequestHeadersInCheck: ["a*b"] }, "is neither a header name nor one that begins or ends with *"],
    [{ pathPrefix: "check" }, "must begin with /"],
  ])("%j is a problem", async (config, message) => {
    expect(await start({ config, upstreams: { auth: () => ({}) } }).catch(String)).toContain(message);
  });
});

describe("names", () => {
  test.each([
    ["x-a", true],
    ["x-ab", false],
    ["y-1", true],
    ["1-z", true],
    ["z", false],
  ])("%p is in the list: %p", (name, isIn) => {
    const list = compileNames(["X-A", "y-*", "*-z"]);
    expect(typeof list === "string" ? list : list(name)).toBe(isIn);
  });
});
