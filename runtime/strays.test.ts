// A promise that nobody awaits is told, and ends nothing.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { readStray } from "./strays.ts";

const SERVE = join(import.meta.dir, "../test/fixtures/filters/careless/serve.ts");

test("a native filter that leaves a rejection alone has failed, at its line, and the proxy serves on", async () => {
  const child = Bun.spawn([process.execPath, SERVE], { stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect([err, code]).toEqual(["", 0]);
  const lines = out
    .trim()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line));
  expect(lines.filter((line) => line["what"] !== undefined)).toEqual(
    ["friday", "text", "saturday"].map((what) => ({ what, status: 200, body: "served" })),
  );
  const failed = lines.find((line) => line["message"] === "a filter failed");
  expect(failed).toMatchObject({ filter: "careless", phase: "stray" });
  expect(failed?.["reason"]).toMatch(
    /^unhandled rejection: TypeError: nobody looks at friday\n.*careless\/filter\.ts:16:/u,
  );
  expect(lines).toContainEqual({ message: "a promise was rejected that nobody awaits", reason: "no error at all" });
  const [counted = ""] = lines.flatMap(({ stats }) => (Array.isArray(stats) ? stats.map(String) : []));
  expect(counted).toStartWith('vespid_filter_runs_total{filter="careless",phase="stray",outcome="failed"} 2');
});

function thrown(...frames: readonly string[]): Error {
  return Object.assign(new Error("no"), {
    stack: ["Error: no", ...frames.map((frame) => `    at ${frame}`)].join("\n"),
  });
}

test("whose it is tells the first frame in the folder of a filter that there is", () => {
  const names = new Set(["cors", "jwt"]);
  expect(readStray(thrown("f (/app/sdk/fetch.ts:1:2)", "g (/app/filters/jwt/providers.ts:51:3)"), names).filter).toBe(
    "jwt",
  );
  expect(readStray(thrown("g (/app/filters/other/x.ts:1:1)", "/app/filters/cors/filter.ts:9:9"), names).filter).toBe(
    "cors",
  );
  expect(readStray(thrown("g (/app/runtime/proxy.ts:1:1)"), names)).toEqual({
    reason: "Error: no\n    at g (/app/runtime/proxy.ts:1:1)",
    filter: undefined,
  });
  expect(readStray("filters/jwt/", names)).toEqual({ reason: "filters/jwt/", filter: undefined });
});
