// Who may use the admin port: operators on this machine, not the pages that their browsers load.
import { expect, test } from "bun:test";
import { startAdmin } from "./admin.ts";

test("a page of a browser neither drains a proxy nor reads its configuration", async () => {
  let drains = 0;
  const admin = startAdmin("127.0.0.1", 0, {
    isReady: () => true,
    configDump: () => ({ secret: "x" }),
    clusters: () => "",
    stats: () => "",
    drain: () => void drains++,
    reload: () => Promise.resolve("not here"),
    restart: () => Promise.resolve("not here"),
  });
  const ask = async (method: string, path: string, headers: Record<string, string>): Promise<number> =>
    (await fetch(`http://127.0.0.1:${admin.port}${path}`, { method, headers })).status;
  expect(await ask("POST", "/drain", { origin: "http://evil.test" })).toBe(403);
  expect(await ask("GET", "/config_dump", { host: "evil.test" })).toBe(403);
  expect(drains).toBe(0);
  expect(await ask("GET", "/config_dump", { host: `localhost:${admin.port}` })).toBe(200);
  expect(await ask("POST", "/drain", {})).toBe(200);
  expect(drains).toBe(1);
  await admin.stop();
});
