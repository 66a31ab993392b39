import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readBootstrap, type Asked } from "./bootstrap.ts";

const REVIEWS = ["--service", "reviews", "--inbound", "8080:127.0.0.1:9080"];

function problemsOf(asked: Asked): readonly string[] {
  return asked.ok === false ? asked.problems.map(({ path, message }) => `${path}: ${message}`) : [];
}

test("a service and one port are enough", async () => {
  const asked = await readBootstrap(REVIEWS, {});
  expect(asked).toMatchObject({
    ok: true,
    value: {
      service: "reviews",
      namespace: "default",
      inbound: [{ port: 8080, address: "127.0.0.1", applicationPort: 9080 }],
      admin: { hostname: "127.0.0.1", port: 15_000 },
      accessLog: "-",
      drainTimeMs: 45_000,
    },
  });
});

test("flags go before environment, environment before file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "bootstrap-"));
  const file = join(folder, "proxy.yaml");
  writeFileSync(file, "service: from-file\nnamespace: from-file\nlogLevel: warn\ninbound: ['1:[::1]:2']\n");
  const asked = await readBootstrap(["--bootstrap", file, "--service", "from-flag"], {
    VESPID_SERVICE: "from-env",
    VESPID_NAMESPACE: "from-env",
    VESPID_INBOUND: "8080:a:1,8081:b:2",
    VESPID_LABELS: "version=v1,team=x",
    VESPID_DRAIN_TIME: "5s",
    VESPID_WASM_ENGINE: "wasmtime",
    VESPID_LIBWASMTIME: "/opt/libwasmtime.so",
  });
  rmSync(folder, { recursive: true });
  expect(asked).toMatchObject({
    ok: true,
    value: {
      service: "from-flag",
      namespace: "from-env",
      logLevel: "warn",
      labels: { version: "v1", team: "x" },
      inbound: [{ port: 8080 }, { port: 8081 }],
      drainTimeMs: 5000,
      wasmEngine: "wasmtime",
      libwasmtime: "/opt/libwasmtime.so",
    },
  });
});

describe("every mistake is told at once, with its place", () => {
  test.each<[string, readonly string[], Record<string, string>, readonly string[]]>([
    ["nothing", [], {}, ["service: ", "inbound: nothing to listen on"]],
    ["an engine that is none", REVIEWS, { VESPID_WASM_ENGINE: "v8" }, ['wasmEngine: is "v8", must be "jsc"']],
    [
      "a port that is none",
      ["--service", "a", "--inbound", "x:1:2", "--admin", "99999"],
      {},
      ["inbound[0]: ", "admin: "],
    ],
    [
      "an address that is none",
      [...REVIEWS, "--control", "ftp://x", "--log-level", "loud"],
      {},
      ["control: ", "logLevel: "],
    ],
    ["a file and a control service", [...REVIEWS, "--control", "http://a", "--config", "f"], {}, ["config: "]],
    ["a port twice", [...REVIEWS, "--outbound", "8080"], {}, ["inbound: port 8080 is used twice"]],
    ["an outbound port twice", [...REVIEWS, "--outbound", "1", "1"], {}, ["inbound: port 1 is used twice"]],
    ["no port at all", ["--service", "a"], {}, ["inbound: nothing to listen on"]],
    ["a bad span", REVIEWS, { VESPID_DRAIN_TIME: "soon" }, ["drainTime: "]],
    ["a file that is not there", [...REVIEWS, "--bootstrap", "/nowhere.yaml"], {}, ["bootstrap: "]],
  ])("%s", async (_, argv, environment, starts) => {
    const problems = problemsOf(await readBootstrap(argv, environment));
    expect(problems).toHaveLength(starts.length);
    starts.forEach((start, index) => expect(problems[index]).toStartWith(start));
  });

  test("an unknown flag is a usage error, and --help is not", async () => {
    expect(await readBootstrap(["--nope"], {})).toMatchObject({ ok: "text", exitCode: 2 });
    const help = await readBootstrap(["--help"], {});
    expect(help).toMatchObject({ ok: "text", exitCode: 0 });
    expect(help.ok === "text" ? help.text : "").toContain("--inbound");
  });
});

test("interception needs no port to be named", async () => {
  const asked = await readBootstrap(["--service", "reviews", "--interception", "redirect"], {});
  expect(asked).toMatchObject({
    ok: true,
    value: { interception: "redirect", inboundCapturePort: 15_006, inbound: [] },
  });
  const wrong = await readBootstrap([...REVIEWS, "--interception", "tproxy"], {});
  expect(problemsOf(wrong)).toEqual([
    'interception: is "tproxy", must be "redirect" (the rules of vespid intercept) or "none"',
  ]);
  const twice = await readBootstrap([...REVIEWS, "--interception", "redirect", "--inbound-capture-port", "8080"], {});
  expect(problemsOf(twice)).toEqual(["inbound: port 8080 is used twice"]);
});

test.each<[string, readonly string[], Record<string, string>, readonly number[]]>([
  ["none", [], {}, []],
  ["one", ["--outbound", "15001"], {}, [15_001]],
  ["several", ["--outbound", "15001", "6379", "--outbound", "3306"], {}, [15_001, 6379, 3306]],
  ["several in a variable", [], { VESPID_OUTBOUND: "15001,6379" }, [15_001, 6379]],
])("outbound ports: %s", async (_, argv, environment, outbound) => {
  expect(await readBootstrap([...REVIEWS, ...argv], environment)).toMatchObject({ value: { outbound } });
});

test("ports and labels are told with their value and what is right", async () => {
  const asked = await readBootstrap([...REVIEWS, "--outbound", "70000", "--label", "=v1"], {});
  expect(problemsOf(asked)).toEqual([
    'labels[""]: is not a label; write NAME=VALUE, such as version=v1',
    'outbound[0]: "70000" is not a port, 0 to 65535',
  ]);
});
