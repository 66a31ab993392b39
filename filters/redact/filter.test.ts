// Secrets do not go on, and everything else does, to the byte.
import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { mount } from "../../sdk/testing/mount.ts";
import { describeLibraryFilter, type Sending } from "../../test/contract/library.ts";
import filter from "./filter.ts";

const JSON_TYPE = { "content-type": "application/json; charset=utf-8" };
const CARD = "4111 1111 1111 1111";

function answered(
  body: NonNullable<Sending["upstream"]>["body"],
  headers: Record<string, string> = JSON_TYPE,
): Sending {
  return { upstream: { headers, ...(body !== undefined && { body }) } };
}

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test("members are hidden by name, by place and by pattern, and nothing else changes", async () => {
    const redact = await start({
      config: {
        rules: [
          { names: ["password"], mask: "remove" },
          { pointers: ["/user/email", "/orders/*/card"], mask: { keepLast: 4 } },
          { patterns: ["us-ssn", { regex: "sk_[a-z0-9]+" }] },
        ],
      },
    });
    const body = `{
      "user": {"email": "ada@example.com", "Password": "x", "id": 12345678901234567890, "a": 1e999},
      "orders": [{"card": ${CARD.replaceAll(" ", "")}}, {"card": "\\u0034111", "note": "SSN 123-45-6789, key sk_l1ve."}],
      "user": {"email": {"deep": ["x"]}}, "user": "ok"
    }`;
    const sent = await redact.send(
      answered([body.slice(0, 90), body.slice(90)], { ...JSON_TYPE, etag: '"1"', digest: "x" }),
    );
    expect(sent.body).toBe(`{
      "user": {"email": "***********.com", "id": 12345678901234567890, "a": 1e999},
      "orders": [{"card": "************1111"}, {"card": "****", "note": "SSN [redacted], key [redacted]."}],
      "user": {"email": "****"}, "user": "ok"
    }`);
    expect(sent.headers).toEqual({ ...JSON_TYPE, "content-length": String(Buffer.byteLength(sent.body)) });
  });

  test("a reply without secrets goes on as it came, validators and all", async () => {
    const redact = await start({ config: { rules: [{ names: ["password"] }] } });
    const headers = { ...JSON_TYPE, etag: '"1"', "content-digest": "sha-256=:x:" };
    const body = '{"a" : 1.0, "b":"\\u00e9"}';
    expect(await redact.send(answered(body, headers))).toMatchObject({ status: 200, body, headers });
    const other = answered("password", { "content-type": "image/png", etag: '"1"' });
    expect((await redact.send(other)).headers["etag"]).toBe('"1"');
  });

  test("requests are looked at where a rule says so, as JSON and as forms", async () => {
    const redact = await start({
      config: {
        rules: [
          { in: ["request"], names: ["password"], patterns: ["email"], mask: { hashKey: "a key that nobody knows" } },
        ],
      },
    });
    const send = async (type: string, body: string): Promise<string | undefined> =>
      (await redact.send({ method: "POST", headers: { "content-type": type }, body })).forwarded?.body;
    const json = await send("application/problem+json", '{"password":"ada","by":["ada","ada@b.cd"]}');
    const form = await send("application/x-www-form-urlencoded", "password=ad%61&by=ada&by=ada%40b.cd");
    const [, hash = ""] = /"password":"(hmac:[a-p]{48})"/u.exec(json ?? "") ?? [];
    const [, mail = ""] = /"ada","(hmac:[a-p]{48})"/u.exec(json ?? "") ?? [];
    expect(hash).not.toBe("");
    expect(json).toBe(`{"password":"${hash}","by":["ada","${mail}"]}`);
    expect(form).toBe(`password=${encodeURIComponent(hash)}&by=ada&by=${encodeURIComponent(mail)}`);
    // A hash that somebody made up is a value like any other.
    const forged = `{"password":"hmac:${"a".repeat(48)}"}`;
    expect(await send("application/json", forged)).not.toBe(forged);
    expect(await send("application/json", json ?? "")).toBe(json);
    expect((await redact.send(answered('{"password":"shown"}'))).body).toBe('{"password":"shown"}');
  });

  test("headers lose their values", async () => {
    const redact = await start({
      config: {
        rules: [
          { in: ["request", "response"], headers: ["X-Token", "set-cookie"], mask: { keepLast: 2 } },
          { in: ["request"], headers: ["x-gone"], mask: "remove" },
        ],
      },
    });
    const sent = await redact.send({
      headers: { "x-token": "secret", "x-gone": "1", "x-other": "2" },
      upstream: { headers: { "x-token": "abcdef", "set-cookie": "id=12345" } },
    });
    expect(sent.forwarded?.headers).toEqual({ "x-token": "****et", "x-other": "2" });
    expect(sent.headers).toEqual({ "x-token": "****ef", "set-cookie": "******45" });
  });

  test("text is searched while it passes, wherever its pieces end", async () => {
    const redact = await start({ config: { rules: [{ patterns: ["credit-card", "bearer-token", "iban"] }] } });
    const line = `paid ü with ${CARD}, Bearer abcdefgh0123456789 DE89 3704 0044 0532 0130 00\n`;
    const text = line.repeat(200);
    const hidden = "paid ü with [redacted], [redacted] [redacted]\n".repeat(200);
    const bytes = Buffer.from(text);
    for (const size of [bytes.length, 4999, 997]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
        bytes.subarray(at * size, at * size + size),
      );
      const sent = await redact.send(answered(pieces, { "content-type": "text/plain", etag: '"1"' }));
      expect(sent.body).toBe(hidden);
      expect(sent.headers).toEqual({ "content-type": "text/plain" });
    }
    const latin = Buffer.from("\u00fc 4111111111111111 \u00ff", "latin1");
    const sent = await redact.send(
      answered([latin.subarray(0, 4), latin.subarray(4)], { "content-type": "text/html" }),
    );
    expect(Buffer.from(sent.bytes).toString("latin1")).toBe("\u00fc [redacted] \u00ff");
  });

  test("nobody gets a reply that could not be searched: the service is asked for plain and whole ones", async () => {
    const redact = await start({ config: { rules: [{ names: ["a"] }] } });
    const headers = { "accept-encoding": "br", range: "bytes=0-1", "if-range": '"1"', accept: "*/*" };
    expect((await redact.send({ headers })).forwarded?.headers).toEqual({
      accept: "*/*",
      "accept-encoding": "identity",
    });
    const coded = answered(gzipSync("{}"), { ...JSON_TYPE, "content-encoding": "gzip" });
    const part = answered('{"a":', { ...JSON_TYPE, "content-range": "bytes 0-4/9" });
    for (const sending of [coded, part, answered('{"a":'), answered("[".repeat(5000)), answered('{"a":1}{"a":2}')])
      expect(await redact.send(sending)).toMatchObject({ status: 502, body: "Bad Gateway", failure: undefined });
    // What has no body has nothing to hide.
    for (const sending of [
      { method: "HEAD", ...answered("") },
      answered(""),
      { upstream: { ...coded.upstream, status: 304, body: "" } },
    ])
      expect((await redact.send(sending)).failure).toBeUndefined();
    expect((await redact.send(answered(""))).status).toBe(200);
  });

  test.each([
    ["coded", { ...JSON_TYPE, "content-encoding": "gzip" }, "{}", 415],
    ["a part", { ...JSON_TYPE, "content-range": "bytes 0-1/9" }, "{}", 400],
    ["no JSON", JSON_TYPE, "{'a':1}", 400],
    ["too long", { ...JSON_TYPE, "content-length": "1025" }, `"${"x".repeat(1023)}"`, 413],
    ["too long, untold", JSON_TYPE, [`"${"x".repeat(1023)}"`], 413],
  ])("a request that is %s is refused, or passes", async (_, headers, body, status) => {
    const rules = [{ in: ["request"], names: ["a"], patterns: ["email"] }];
    const refuses = await start({ config: { rules, maxBytes: 1024 } });
    expect(await refuses.send({ method: "POST", headers, body })).toMatchObject({
      status,
      forwarded: undefined,
      failure: undefined,
    });
    const passes = await start({ config: { rules, maxBytes: 1024, unreadable: "pass" } });
    const sent = await passes.send({ method: "POST", headers, body });
    expect(sent).toMatchObject({ status: 200, forwarded: { body: String(body) } });
  });

  test("where they pass, JSON is still searched: by pattern what is too long or none, and all of what is right", async () => {
    const redact = await start({
      config: { rules: [{ names: ["a"], patterns: ["email"] }], maxBytes: 1024, unreadable: "pass" },
    });
    expect((await redact.send(answered(['{"a":', "1}"]))).body).toBe('{"a":"[redacted]"}');
    expect((await redact.send(answered(["{'a':'a@b.cd'}"]))).body).toBe("{'a':'[redacted]'}");
    const long = `${" ".repeat(2000)}{"a":"a@b.cd"}`;
    expect((await redact.send(answered([long.slice(0, 900), long.slice(900)]))).body).toBe(
      long.replace("a@b.cd", "[redacted]"),
    );
  });

  test("a body whose type is not told is JSON where it reads so, and text where it does not", async () => {
    const redact = await start({ config: { rules: [{ names: ["a"], patterns: ["email"] }] } });
    for (const headers of [{}, { "content-type": "text/html, application/json" }]) {
      expect((await redact.send(answered('{"a":1}', headers))).body).toBe('{"a":"[redacted]"}');
      expect((await redact.send(answered('a@b.cd {"a":1}', headers))).body).toBe('[redacted] {"a":1}');
    }
  });

  test("an event goes on when it is whole", async () => {
    const redact = await start({ config: { rules: [{ patterns: ["email"] }] } });
    const pieces = ["data: ada@", "example.com\n\ndata: a", "@b.cd"];
    const sent = await redact.send(answered(pieces, { "content-type": "text/event-stream" }));
    expect(sent.body).toBe("data: [redacted]\n\ndata: [redacted]");
  });

  test("hostile documents are walked or refused, and the filter goes on", async () => {
    const redact = await start({
      config: { rules: [{ names: ["a"], pointers: ["/*/*/*"], patterns: ["credit-card"] }] },
    });
    const nested = `${'{"b":['.repeat(500)}1${"]}".repeat(500)}`;
    expect((await redact.send(answered(nested))).body).toBe('{"b":[{"b":"[redacted]"}]}');
    expect((await redact.send(answered("[".repeat(1001) + "]".repeat(1001)))).status).toBe(502);
    const key = "k".repeat(30_000);
    const long = `{"${key}":1,"\u0061":{"${key}":[]},"${"\\n".repeat(3000)}":"${"1 ".repeat(10_000)}"}`;
    expect((await redact.send(answered(long))).body).toBe(long.replace(/\{"k+":\[\]\}/u, '"[redacted]"'));
    const invalid = Buffer.concat([
      Buffer.from('{"a":"'),
      Buffer.from([0xff, 0xc0]),
      Buffer.from('","b\xff":"\xff","A":1}', "latin1"),
    ]);
    const sent = await redact.send(answered(invalid));
    expect(Buffer.from(sent.bytes).toString("latin1")).toBe('{"a":"[redacted]","b\xff":"\xff","A":"[redacted]"}');
  });

  test.each([
    [{ rules: [{ names: [] }] }, "must have headers, names, pointers or patterns"],
    [{ rules: [{ pointers: ["a/b"] }] }, "is not a JSON pointer"],
    [{ rules: [{ headers: ["content-length"] }] }, "is set by the proxy"],
    [{ rules: [{ patterns: [{ regex: "a(?=b)" }] }] }, "rules[0].patterns[0].regex: cannot be used"],
    [{ rules: [{ patterns: [{ regex: "\\Aa" }] }] }, "must have ^ and $"],
    [{ rules: [{ patterns: [{ regex: "(?-s:.)" }] }] }, "no flags that are off"],
    [{ rules: [{ patterns: [{ regex: "e" }] }] }, "would be masked again"],
    [{ rules: [{ names: ["a"], mask: { text: "é" } }] }, "printable ASCII"],
    [{ rules: [{ names: ["a"], mask: { hashKey: "short" } }] }, "at least 16 characters"],
  ])("%j is a problem", async (config, message) => {
    expect(await start({ config }).catch(String)).toContain(message);
  });
});

test.each(["source", "component"] as const)("trailers are heads too, on engine %s", async (engine) => {
  await using redact = await mount(filter, {
    engine,
    config: { rules: [{ headers: ["x-token"], patterns: ["email"] }] },
  });
  redact.service.reply(() => ({
    body: "ada",
    trailers: { "x-token": "t", "content-digest": "sha-256=:x:", "x-other": "1" },
  }));
  const { reply } = await redact.request("/");
  expect(reply.trailers).toEqual({ "x-token": "[redacted]", "x-other": "1" });
});
