// `filter dev` while an author writes: each save serves, errors never replace what works, and each request is told.
import { expect, setDefaultTimeout, test } from "bun:test";
import { z } from "zod";
import { makeAuthorFolder, runFilterCommand, startFilterCommand } from "../harness/filter-cli.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

const source = (mark: string) => `import { defineFilter, reply, z } from "vespid";
import { check } from "./check.ts";

export default defineFilter({
  name: "hello",
  stage: "transform",
  reads: ["x-user"],
  writes: ["x-mark"],
  config: z.strictObject({ blocked: z.array(z.string()).default([]) }),
  upstreams: ["authz"],
  async request(request, { config, fetch, log }) {
    const user = check(request.headers.get("x-user"));
    if (config.blocked.includes(user)) return reply({ status: 403 });
    if (user === "ask") log.info("asked", { status: (await fetch("authz", "/x")).status });
    request.headers.set("x-mark", "${mark}");
  },
});
`;
const CHECK = `/** Who it is. */
export function check(user: string | null): string {
  if (user === "eve") throw new TypeError("not you");
  return user ?? "nobody";
}
`;
const Echoed = z.object({ headers: z.record(z.string(), z.string()) });

test("a save serves in milliseconds, and what has errors does not replace what works", async () => {
  await using folder = await makeAuthorFolder();
  await Bun.write(folder.file("hello/filter.ts"), source("one"));
  await Bun.write(folder.file("hello/check.ts"), CHECK);
  await using dev = startFilterCommand(folder, ["dev", "hello", "--port", "0", "--set", 'blocked=["mallory"]']);
  const [, address = ""] = await dev.printed(/serves at (http:\S+),/u);
  const mark = async () => Echoed.parse(await (await fetch(address)).json()).headers["x-mark"];
  expect(await mark()).toBe("one");
  expect((await fetch(address, { headers: { "x-user": "mallory" } })).status).toBe(403);

  await Bun.write(folder.file("hello/filter.ts"), source("two"));
  const [, tookMs = ""] = await dev.printed(/filter\.ts was saved: it serves after (\d+) ms/u);
  expect(Number(tookMs)).toBeLessThan(1000);
  expect(await mark()).toBe("two");

  await Bun.write(folder.file("hello/filter.ts"), source("three").replace("(request,", "(request"));
  await dev.printed(/has problems; the version before serves on:\n {2}hello\/filter\.ts:11:\d+: Expected/u);
  expect(await mark()).toBe("two");

  await Bun.write(folder.file("hello/filter.ts"), source("four"));
  await until("the next version", async () => ((await mark()) === "four" ? true : undefined));
  await Bun.write(folder.file("hello/check.ts"), CHECK.replace("not you", "nor you"));
  await dev.printed(/check\.ts was saved: it serves after/u);
  expect((await fetch(address, { headers: { "x-user": "eve" } })).status).toBe(503);
  await dev.printed(/hello request failed .* {2}check\.ts:3:\d+: TypeError: nor you\n\s+at filter\.ts:12:\d+/u);

  await Bun.write(folder.file("hello/filter.ts"), source("five").replace('"x-mark", ', '"x-park", '));
  await dev.printed(/types that do not fit[^]*x-park/u);
});

test("a request is told with its edits, calls and lines, as JSON, and by its id", async () => {
  await using folder = await makeAuthorFolder();
  await Bun.write(folder.file("filter.ts"), source("one"));
  await Bun.write(folder.file("check.ts"), CHECK);
  await Bun.write(folder.file("config.yaml"), "blocked: [mallory]\n");
  using authz = Bun.serve({ port: 0, fetch: () => new Response("yes", { status: 201 }) });
  const flags = ["--config", "config.yaml", "--upstream", `authz=${authz.url.href}`, "--json", "--no-check"];
  await using dev = startFilterCommand(folder, ["dev", "filter.ts", "--port", "0", ...flags]);
  const [, address = ""] = await dev.printed(/serves at (http:\S+),/u);
  const ask = { headers: { "x-user": "ask", "x-request-id": "request-1" } };
  expect((await fetch(`${address}/a`, ask)).status).toBe(200);
  await dev.printed(/"id":"request-1"/u);
  const told: unknown = JSON.parse(dev.stdout().split("\n")[0] ?? "");
  expect(told).toMatchObject({
    id: "request-1",
    method: "GET",
    path: "/a",
    status: 200,
    steps: [
      {
        filter: "hello",
        phase: "request",
        outcome: "proceed",
        edits: [{ kind: "set", name: "x-mark", value: "one" }],
        logs: [{ level: "info", message: "asked", fields: { status: 201 } }],
      },
    ],
  });
  const asked = await runFilterCommand(folder, ["explain", "request-1"]);
  expect(asked.output).toMatch(
    /^GET \/a → 200 in [\d.]+ ms {2}request-1\n {2}hello request proceed \(.*\) {2}set x-mark: one\n/u,
  );
  expect(await runFilterCommand(folder, ["explain", "request-2"])).toMatchObject({
    status: 3,
    output: expect.stringContaining('knows no request "request-2"'),
  });
  await Bun.write(folder.file("config.yaml"), "blocked: mallory\n");
  await dev.printed(/the version before serves on:\n {2}config\.blocked: /u);
  expect((await fetch(address)).status).toBe(200);
  await dev.stop();
  expect((await runFilterCommand(folder, ["explain", "request-1"])).output).toContain(
    "no filter dev runs in this folder",
  );
});

test("--sandbox runs the component, and says what building it took", async () => {
  await using folder = await makeAuthorFolder();
  await Bun.write(folder.file("filter.ts"), source("one"));
  await Bun.write(folder.file("check.ts"), CHECK);
  await using dev = startFilterCommand(folder, ["dev", ".", "--port", "0", "--sandbox", "--no-check"]);
  const [, address = ""] = await dev.printed(/serves at (http:\S+), .*\(built in \d+ ms, derived in \d+ ms\)/u, 60_000);
  expect((await fetch(address, { headers: { "x-user": "eve" } })).status).toBe(503);
  await dev.printed(/hello request failed \(.*, fuel [\d,]+\) {2}check\.ts:3:\d+: TypeError: not you/u);
});

test.each([
  [["--upstream", "ftp://x"], 2, '--upstream: "ftp://x" is not [NAME=]URL'],
  [["--port", "70000"], 2, '--port: "70000" is not a port'],
])("%j is refused", async (flags, status, message) => {
  await using folder = await makeAuthorFolder();
  await Bun.write(folder.file("filter.ts"), source("one"));
  const ran = await runFilterCommand(folder, ["dev", "filter.ts", ...flags]);
  expect(ran.status).toBe(status);
  expect(ran.output).toContain(message);
});

test("explain says what a filter may see, change, call and cost", async () => {
  await using folder = await makeAuthorFolder();
  await Bun.write(folder.file("filter.ts"), source("one"));
  await Bun.write(folder.file("check.ts"), CHECK);
  const { output, status } = await runFilterCommand(folder, ["explain", "filter.ts"]);
  expect(status).toBe(0);
  for (const line of [
    "reads     x-user",
    "writes    x-mark",
    "calls     authz",
    "config    blocked (array, default [])",
  ])
    expect(output).toContain(line);
});
