// The tree keeps its shape: these rules are what makes a file findable and a part replaceable.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { checkArchitecture, type Rule, type SourceFile } from "./harness/architecture.ts";

const ROOT = join(import.meta.dir, "..");

async function readSources(): Promise<readonly SourceFile[]> {
  const paths = await Array.fromAsync(new Bun.Glob("{runtime,filters,sdk,control,test}/**/*.ts").scan(ROOT));
  return Promise.all(
    paths
      .filter((path) => !path.includes("node_modules"))
      .toSorted()
      .map(async (path) => ({ path, text: await Bun.file(join(ROOT, path)).text() })),
  );
}

test("no source file breaks a rule of the tree", async () => {
  const files = await readSources();
  expect(files.length).toBeGreaterThan(10);
  const largest = files
    .map(({ path, text }) => ({ path, lines: text.split("\n").length }))
    .toSorted((a, b) => b.lines - a.lines)
    .slice(0, 10);
  console.log(`largest files:\n${largest.map(({ path, lines }) => `${String(lines).padStart(5)} ${path}`).join("\n")}`);
  expect(checkArchitecture(files)).toEqual([]);
});

const longFile = "// one line\n".repeat(801);

describe("a planted violation is found", () => {
  test.each<[Rule, string, string]>([
    ["boundary", "runtime/sync/client.ts", `import { push } from "../../control/push/gateway.ts";`],
    ["boundary", "runtime/wasm/instance.ts", `import { begin } from "../../sdk/guest/begin.ts";`],
    ["boundary", "runtime/chain/build.ts", `import cors from "../../filters/cors/filter.ts";`],
    ["boundary", "runtime/contract/route.ts", `import type { Exchange } from "../exchange/exchange.ts";`],
    ["boundary", "runtime/route/table.ts", `import { startProxy } from "../../test/harness/proxy.ts";`],
    ["boundary", "control/compile/route.ts", `import { compileRoutes } from "../../runtime/route/table.ts";`],
    ["boundary", "control/service.ts", `import { BUILTIN_FILTERS } from "../runtime/builtin-filters.ts";`],
    ["boundary", "control/api/bundles.ts", `import { begin } from "../../sdk/guest/begin.ts";`],
    ["boundary", "filters/cors/filter.ts", `import { HeaderMap } from "../../runtime/exchange/headers.ts";`],
    ["boundary", "filters/cors/filter.ts", `import { parse } from "../basic-auth/htpasswd.ts";`],
    ["boundary", "sdk/wit/world.ts", `import type { Verdict } from "../verdict.ts";`],
    ["boundary", "sdk/build/cli.ts", `import { push } from "../../control/cli/push.ts";`],
    ["boundary", "sdk/define-filter.ts", `import { HeaderMap } from "../runtime/exchange/headers.ts";`],
    ["layer", "runtime/route/table.ts", `import { forward } from "../upstream/forward.ts";`],
    ["layer", "runtime/exchange/exchange.ts", `import {\n  type Route,\n  type Table,\n} from "../route/table.ts";`],
    ["layer", "runtime/upstream/forward.ts", `export type { Client } from "../sync/client.ts";`],
    ["layer", "runtime/admin/server.ts", `import { proxy } from "../proxy.ts";`],
    ["layer", "runtime/proxy.ts", `import { main } from "./main.ts";`],
    ["layer", "runtime/upstream/forward.ts", `import { count } from "../telemetry/metrics.ts";`],
    ["layer", "runtime/gadget/thing.ts", `import { failure } from "../exchange/failure.ts";`],
    ["purity", "runtime/route/table.ts", `import { readFileSync } from "node:fs";`],
    ["purity", "control/snapshot/build.ts", `import { Database } from "bun:sqlite";`],
    ["package", "runtime/codec/http1-server.ts", `import pino from "pino";`],
    ["package", "control/service.ts", `import leftPad from "left-pad";`],
    ["package", "runtime/wasm/bundle.ts", `const { transpile } = await import("@bytecodealliance/jco/component");`],
    ["ambient", "runtime/balance/least-request.ts", `export const pick = (n: number): number => Math.random() * n;`],
    ["ambient", "runtime/cluster/breaker.ts", `export const now = (): number => Date.now();`],
    ["ambient", "runtime/listener/tls.ts", `export const file: string | undefined = process.env.TLS_CERT;`],
    ["path", "runtime/codec/http2/frames.ts", ""],
    ["path", "runtime/codec/http1Server.ts", ""],
    ["path", "runtime/utils/text.ts", ""],
    ["default_export", "runtime/reply/local.ts", `export default function local(): void {}`],
    ["default_export", "filters/cors/config.ts", `export default 1;`],
    ["size", "control/service.ts", longFile],
    ["unreadable", "control/service.ts", `import { from`],
  ])("%s: %s", (rule, path, text) => {
    expect(checkArchitecture([{ path, text }]).map((violation) => violation.rule)).toEqual([rule]);
  });
});

describe("what the rules allow", () => {
  test.each([
    ["runtime/upstream/forward.ts", `import type { Exchange } from "../exchange/exchange.ts";`],
    ["runtime/upstream/forward.ts", `import { open } from "./connect.ts";`],
    ["runtime/wasm/guest-filter.ts", `import type { Filter } from "../chain/filter.ts";`],
    ["runtime/data-path.ts", `import { observe } from "./telemetry/observe.ts";`],
    ["runtime/proxy.ts", `export const clock = { now: (): number => Date.now() };`],
    ["runtime/builtin-filters.ts", `import cors from "../filters/cors/filter.ts";`],
    ["runtime/cluster/breaker.ts", `// Date.now is read in proxy.ts alone.\nexport const x = 1;`],
    ["runtime/codec/hpack.test.ts", `import fc from "fast-check";`],
    ["control/api/routes.ts", `import { Hono } from "hono";\nimport { Route } from "../../runtime/contract/route.ts";`],
    ["control/main.ts", `import { BUILTIN_FILTERS } from "../runtime/builtin-filters.ts";`],
    ["filters/cors/filter.ts", `import { defineFilter } from "../../sdk/index.ts";\nexport default defineFilter({});`],
    ["sdk/testing/run-filter.ts", `import { instantiate } from "../../runtime/wasm/instance.ts";`],
    ["sdk/build/scaffold.ts", 'export const source = `import { push } from "../../control/cli/push.ts";`;'],
    ["test/e2e/demo.test.ts", `import { startControl } from "../../control/service.ts";`],
  ])("%s: %s", (path, text) => {
    expect(checkArchitecture([{ path, text }])).toEqual([]);
  });
});
