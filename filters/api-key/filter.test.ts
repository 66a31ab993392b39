// Who has a key, and what its owner may.
import { expect, test } from "bun:test";
import { describeLibraryFilter } from "../../test/contract/library.ts";
import filter from "./filter.ts";

const digestOf = (key: string): string => new Bun.CryptoHasher("sha256").update(key).digest("hex");

const CONFIG = {
  keys: [
    { client: "mobile", sha256: digestOf("key of mobile"), metadata: { plan: "gold", region: "eu" } },
    { client: "mobile", sha256: digestOf("next key").toUpperCase() },
    { client: "ops", sha256: digestOf("key of ops"), label: "staff" },
  ],
  from: [{ header: "X-API-Key" }, { header: "authorization", prefix: "Bearer " }, { query: "key" }, { cookie: "key" }],
  clientHeader: "x-client",
};

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test.each([
    [{ headers: { "x-api-key": "key of mobile" } }, "mobile"],
    [{ headers: { "x-api-key": "next key" } }, "mobile"],
    [{ headers: { authorization: "bearer key of ops" } }, "ops"],
    [{ path: "/?key=key+of%20mobile" }, "mobile"],
    [{ headers: { cookie: "a=b; key=key of ops" } }, "ops"],
  ])("%j is of %s, and the service is told so", async (sending, client) => {
    const keys = await start({ config: CONFIG });
    const { status, forwarded, metadata } = await keys.send(sending);
    expect(status).toBe(200);
    expect(forwarded?.headers["x-client"]).toBe(client);
    expect(metadata["api_key_client"]).toBe(client);
  });

  test.each([
    [{}, "API key is missing"],
    [{ headers: { "x-api-key": "" } }, "API key is missing"],
    [{ headers: { "x-api-key": "key of nobody" } }, "API key is not known"],
    [{ headers: { "x-api-key": digestOf("key of ops") } }, "API key is not known"],
    [{ headers: { "x-api-key": "x".repeat(2000) } }, "API key is not known"],
    [{ headers: { authorization: "Basic key of ops" } }, "API key is missing"],
  ])("%j is answered 401", async (sending, body) => {
    const keys = await start({ config: CONFIG });
    const sent = await keys.send(sending);
    expect(sent).toMatchObject({ status: 401, body, forwarded: undefined });
    expect(sent.headers["www-authenticate"]).toBe("ApiKey");
  });

  test("what is known of a key is left for later filters, and the key itself goes no further", async () => {
    const keys = await start({ config: CONFIG });
    const headers = { "x-api-key": "key of mobile", "x-client": "ops", cookie: "a=b; key=key of ops" };
    const { forwarded, metadata } = await keys.send({ headers });
    expect(metadata).toEqual({ api_key_client: "mobile", plan: "gold", region: "eu" });
    expect(forwarded?.headers).toEqual({ "x-client": "mobile", cookie: "a=b" });
    const open = await start({ config: { ...CONFIG, hidesKey: false } });
    expect((await open.send({ headers })).forwarded?.headers).toMatchObject({ "x-api-key": "key of mobile" });
  });

  test("a client goes where its key may be used", async () => {
    const keys = await start({ config: { ...CONFIG, paths: [{ path: "/admin/", clients: ["ops"] }] } });
    const statusOf = async (path: string, key: string) =>
      (await keys.send({ path, headers: { "x-api-key": key } })).status;
    expect(await statusOf("/admin/users", "key of mobile")).toBe(403);
    expect(await statusOf("/admin/users", "key of ops")).toBe(200);
    expect(await statusOf("/cart", "key of mobile")).toBe(200);
  });

  test("where keys are optional, a request without one is nobody's, and a wrong key is still wrong", async () => {
    const keys = await start({ config: { ...CONFIG, isOptional: true } });
    const anonymous = await keys.send({ headers: { "x-client": "ops" } });
    expect(anonymous).toMatchObject({ status: 200, forwarded: { headers: {} }, metadata: {} });
    expect((await keys.send({ headers: { "x-api-key": "wrong" } })).status).toBe(401);
  });

  test.each([
    [{ keys: [] }, "keys"],
    [{ keys: [{ client: "a", sha256: "secret" }] }, "is not a SHA-256 in hex"],
    [{ keys: [CONFIG.keys[0], { ...CONFIG.keys[0], client: "b" }] }, "twice, of mobile and of b"],
    [{ ...CONFIG, from: [{ header: "a", query: "b" }] }, "must have one of header, query and cookie"],
  ])("%j is a problem", async (config, message) => {
    expect(await start({ config }).catch(String)).toContain(message);
  });
});
