// Bodies end where they may end.
import { expect, test } from "bun:test";
import { describeLibraryFilter } from "../../test/contract/library.ts";
import filter from "./filter.ts";

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test.each([
    ["/", 10, 200],
    ["/", 11, 413],
    ["/upload/a", 20, 200],
    ["/upload/a", 21, 413],
  ])("to %s, a body of %d bytes is answered %d, its length told or not", async (path, length, status) => {
    const limit = await start({
      config: { requestMaxBytes: 10, paths: [{ path: "/upload/", requestMaxBytes: 20 }] },
    });
    const body = "x".repeat(length);
    const told = await limit.send({ method: "POST", path, body, headers: { "content-length": String(length) } });
    const untold = await limit.send({ method: "POST", path, body: [body.slice(0, 4), body.slice(4)] });
    expect([told.status, untold.status]).toEqual([status, status]);
    const seen = status === 200 ? body : undefined;
    expect([told.forwarded?.body, untold.forwarded?.body]).toEqual([seen, seen]);
  });

  test("a reply that says it is too long is a bad gateway, and one that does not breaks off", async () => {
    const limit = await start({ config: { responseMaxBytes: 10 } });
    const length = { headers: { "content-length": "11" } };
    expect((await limit.send({ upstream: { ...length, body: "x".repeat(11) } })).status).toBe(502);
    const untold = await limit.send({ upstream: { body: ["x".repeat(8), "y", "z".repeat(8)] } });
    expect(untold).toMatchObject({ status: 200, body: "xxxxxxxxy" });
    expect(untold.broken).toContain("body is beyond 10 bytes");
    expect(await limit.send({ upstream: { body: ["12345", "67890"] } })).toMatchObject({
      body: "1234567890",
      broken: undefined,
    });
  });

  test("a length without a body is none", async () => {
    const limit = await start({ config: { responseMaxBytes: 10 } });
    const upstream = { headers: { "content-length": "1000" }, body: "" };
    expect((await limit.send({ method: "HEAD", upstream })).status).toBe(200);
    expect((await limit.send({ upstream: { ...upstream, status: 304 } })).status).toBe(304);
    expect((await limit.send({ upstream })).status).toBe(502);
  });

  test("a configuration without a limit is a problem", async () => {
    expect(await start({ config: {} }).catch(String)).toContain("must have requestMaxBytes");
  });
});
