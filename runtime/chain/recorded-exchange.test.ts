// What a recording shows of an exchange, and what it never does.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { makeExchange } from "../../sdk/testing/exchange.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { recordAttributes, recordBody, recordHeaders, recordRequest, redactVerdict } from "./recorded-exchange.ts";
import { Redactor, Secrets } from "./secrets.ts";

const redactor = (more: readonly string[] = []) => new Redactor(new Secrets(more));
const body = (text: string, type: string, takesAll = false) =>
  recordBody(Buffer.from(text), type, redactor(["ssn"]), takesAll);

test("credentials of a head are left out by the names of their fields, in any case", () => {
  const names = ["Authorization", "PROXY-AUTHORIZATION", "cookie", "Set-Cookie", "X-Api-Key", "x-auth-token"];
  names.push("x_api_key", "authorization", "X-Vault-Token", "x-client-secret");
  const headers = HeaderMap.from([...names.map((name) => [name, "hidden"] as const), ["x-user", "ada"]]);
  const shown = recordHeaders(headers, redactor());
  expect(shown).toEqual([...names.map((name): [string, string] => [name, "[redacted]"]), ["x-user", "ada"]]);
});

test.each([
  ["/a?page=1&access_token=abc&x=2", "/a?page=1&access_token=[redacted]&x=2"],
  ["/a?api%5Fkey=abc", "/a?api%5Fkey=[redacted]"],
  ["/a?API-KEY=abc&token", "/a?API-KEY=[redacted]&token"],
  ["/a?user[password]=x&user.newPassword=y&a[b]=z", "/a?user[password]=[redacted]&user.newPassword=[redacted]&a[b]=z"],
  ["/a;jsessionid=x;v=1/b;session%49d=y?a=b", "/a;jsessionid=[redacted];v=1/b;session%49d=[redacted]?a=b"],
  ["/a?ssn=1&%zz=2", "/a?ssn=[redacted]&%zz=2"],
  ["/a", "/a"],
])("a path %p is shown as %p", (path, shown) => {
  expect(recordRequest(makeExchange({ path }), redactor(["ssn"])).path).toBe(shown);
});

test("addresses in fields are shown as the request's own", () => {
  const headers = HeaderMap.from([
    ["referer", "https://ada:pw@a.example/reset?token=abc&x=1"],
    ["location", "/login?code=abc"],
    ["accept", "text/html;q=0.5"],
  ]);
  expect(recordHeaders(headers, redactor()).map(([, value]) => value)).toEqual([
    "https://[redacted]@a.example/reset?token=[redacted]&x=1",
    "/login?code=[redacted]",
    "text/html;q=0.5",
  ]);
});

test("where a head has more secrets than are remembered, nothing that a filter wrote is shown", () => {
  const seen = redactor();
  const cookie = Array.from({ length: 300 }, (_, index) => `abcdef${index}=ghijkl${index}`).join("; ");
  recordRequest(makeExchange({ headers: { cookie, authorization: "Bearer mnopqr123" } }), seen);
  const edits = [{ kind: "set" as const, name: "x-copy", value: "mnopqr123" }];
  expect(redactVerdict({ verdict: "proceed", body: "kept", edits }, seen).edits[0]?.value).toBe("[redacted]");
});

test("bodies are shown where their secrets can be told by name, and all others only where asked for", () => {
  expect(body('{"a":[{"Password":"x"}],"ssn":1}', "application/json; charset=utf-8")).toEqual({
    kind: "text",
    text: '{"a":[{"Password":"[redacted]"}],"ssn":"[redacted]"}',
  });
  expect(body("user=ada&password=x+y", "application/x-www-form-urlencoded")).toEqual({
    kind: "text",
    text: "user=ada&password=[redacted]",
  });
  expect(body('{"password":', "application/problem+json", true)).toMatchObject({ kind: "left_out" });
  expect(body("password: x", "text/plain")).toMatchObject({ kind: "left_out" });
  expect(body("password: x", "text/plain", true)).toEqual({ kind: "text", text: "password: x" });
  expect(recordBody(Buffer.from([0xff]), "", redactor(), true)).toEqual({ kind: "base64", base64: "/w==" });
  expect(recordBody(new Uint8Array(), "application/json", redactor(), true)).toBeUndefined();
});

test("a secret that a filter copied is left out where it wrote it", () => {
  const exchange = makeExchange({ headers: { authorization: "Bearer abcdef123" }, path: "/?token=qwertz99" });
  const seen = redactor();
  recordRequest(exchange, seen);
  recordBody(Buffer.from('{"password":"hunter22"}'), "application/json", seen, false);
  const edits = ["abcdef123", "is qwertz99!", "hunter22", "ada"].map((value) => {
    return { kind: "set" as const, name: "x-copy", value };
  });
  expect(redactVerdict({ verdict: "proceed", body: "kept", edits }, seen).edits.map(({ value }) => value)).toEqual([
    "[redacted]",
    "[redacted]",
    "[redacted]",
    "ada",
  ]);
});

test("attributes stand by their names, values for later filters among them", () => {
  const exchange = makeExchange({ requestId: "r1", sourceIp: "10.1.1.1" });
  exchange.metadata = new Map([
    ["user", "ada"],
    ["session", "abc"],
    ["copied", "is abcdef123"],
  ]);
  const seen = redactor();
  recordRequest(makeExchange({ headers: { authorization: "Bearer abcdef123" } }), seen);
  expect(recordAttributes(exchange, seen)).toMatchObject({
    "metadata.copied": "[redacted]",
    "request.id": "r1",
    "source.ip": "10.1.1.1",
    "metadata.user": "ada",
    "metadata.session": "[redacted]",
  });
});

test("no value of a secret member is in a recorded body, however deep it is", () => {
  const { tie } = fc.letrec((again) => ({
    tie: fc.oneof(
      { maxDepth: 5 },
      fc.string(),
      fc.integer(),
      fc.array(again("tie"), { maxLength: 4 }),
      fc.dictionary(
        fc.constantFrom("a", "b", "pass_word", "token", "Secret"),
        fc.oneof(again("tie"), fc.constant("SECRET-VALUE")),
        {
          maxKeys: 4,
        },
      ),
    ),
  }));
  fc.assert(
    fc.property(tie, (value) => {
      const wrapped = { password: "SECRET-VALUE", list: [{ token: ["SECRET-VALUE"] }], value: strip(value) };
      const shown = body(JSON.stringify(wrapped), "application/json");
      expect(shown?.kind).toBe("text");
      expect(JSON.stringify(shown)).not.toContain("SECRET-VALUE");
    }),
  );
});

/** The value with what is secret by its content kept below secret names alone. */
function strip(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strip);
  if (typeof value !== "object" || value === null) return value === "SECRET-VALUE" ? "" : value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      ["pass_word", "token", "Secret"].includes(name) ? member : strip(member),
    ]),
  );
}
