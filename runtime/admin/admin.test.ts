// What operators and probes find on the admin port.
import { expect, test } from "bun:test";
import { startAdmin, type AdminServer } from "./admin.ts";

interface Admin extends AsyncDisposable {
  ask(
    path: string,
    method?: string,
  ): Promise<{ readonly status: number; readonly type: string; readonly text: string }>;
  readonly drains: () => number;
}

function start(isReady = true): Admin {
  let drains = 0;
  const server: AdminServer = startAdmin("127.0.0.1", 0, {
    isReady: () => isReady,
    configDump: () => ({ version: "abc", snapshot: { service: "reviews" } }),
    clusters: () => "inbound|8080||::cx_active::0\n",
    stats: () => "# TYPE a counter\na 1\n",
    drain: () => drains++,
  });
  return {
    async ask(path, method = "GET") {
      const reply = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
      return { status: reply.status, type: reply.headers.get("content-type") ?? "", text: await reply.text() };
    },
    drains: () => drains,
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

test("the config dump is JSON that a person can read", async () => {
  await using admin = start();
  expect(await admin.ask("/config_dump")).toEqual({
    status: 200,
    type: "application/json",
    text: '{\n  "version": "abc",\n  "snapshot": {\n    "service": "reviews"\n  }\n}\n',
  });
});

test("readiness is a status, and every path is in the help", async () => {
  await using admin = start();
  expect(await admin.ask("/ready")).toMatchObject({ status: 200, text: "LIVE\n" });
  await using waiting = start(false);
  expect(await waiting.ask("/ready")).toMatchObject({ status: 503, text: "NOT READY\n" });
  const help = await admin.ask("/nothing");
  expect(help.status).toBe(404);
  expect(help.text).toStartWith("/nothing is not an admin path\n");
  for (const path of ["/ready", "/config_dump", "/clusters", "/stats/prometheus", "/drain"])
    expect(help.text).toContain(path);
});

test("only a POST drains", async () => {
  await using admin = start();
  expect(await admin.ask("/drain")).toMatchObject({ status: 405 });
  expect(await admin.ask("/ready", "POST")).toMatchObject({ status: 405 });
  expect(admin.drains()).toBe(0);
  expect(await admin.ask("/drain", "POST")).toMatchObject({ status: 200 });
  expect(admin.drains()).toBe(1);
});
