import { describe, expect, test } from "bun:test";
import type { z } from "zod";
import { Adapter } from "./adapter.ts";
import { parseSnapshot, type Snapshot } from "./snapshot.ts";

const UPSTREAM = { cluster: "policy" };

function problemsOf(rule: object, backend: object): readonly string[] {
  const snapshot: z.input<typeof Snapshot> = {
    inbound: { rules: [Object.assign({ name: "r", actions: [{ adapter: "a" }] }, rule)] },
    outbound: {},
    clusters: [{ name: "policy", endpoints: [] }],
    adapters: [Adapter.parse({ name: "a", backend })],
  };
  const parsed = parseSnapshot(snapshot);
  return parsed.ok ? [] : parsed.problems.map(({ path, message }) => `${path}: ${message}`);
}

const LIST = { kind: "list", entries: ["x"] };
const QUOTA = { kind: "redis_quota", url: "redis://127.0.0.1:6379", quotas: { calls: { maxAmount: 1 } } };
const at = "inbound.rules[0]";

test("rules that fit their adapters are taken", () => {
  expect(problemsOf({ match: "response.code >= 500" }, { kind: "stdout" })).toEqual([]);
  expect(
    problemsOf({ actions: [{ adapter: "a", value: "source.ip" }] }, { ...LIST, entryType: "ip_addresses" }),
  ).toEqual([]);
  expect(problemsOf({ actions: [{ adapter: "a", name: "calls", value: 2 }] }, QUOTA)).toEqual([]);
  expect(problemsOf({}, { kind: "opa", upstream: UPSTREAM, path: "/v1/data/a" })).toEqual([]);
});

describe("what does not fit is told with its path", () => {
  test.each<[string, object, object, string]>([
    [
      "another adapter",
      { actions: [{ adapter: "b" }] },
      { kind: "deny" },
      `${at}.actions[0].adapter: there is no adapter "b"`,
    ],
    [
      "a match that is no condition",
      { match: "request.path" },
      { kind: "deny" },
      `${at}.match: is of type string, must be bool`,
    ],
    [
      "an expression that is none",
      { match: "request.path ==" },
      { kind: "deny" },
      `${at}.match: column 16: it ends where a name is due`,
    ],
    [
      "a check on the reply",
      { match: "response.code == 200" },
      { kind: "deny" },
      `${at}.match: response.code is not known before the request goes on, when checks and quotas run`,
    ],
    ["a list without a value", {}, LIST, `${at}.actions[0].value: is required: it is looked up`],
    [
      "a list of numbers",
      { actions: [{ adapter: "a", value: 1 }] },
      LIST,
      `${at}.actions[0].value: is of type int, must be string or ip or dns_name or email or uri`,
    ],
    [
      "a value that nobody reads",
      { actions: [{ adapter: "a", value: 1 }] },
      { kind: "deny" },
      `${at}.actions[0].value: is not used by deny`,
    ],
    ["a quota without its name", {}, QUOTA, `${at}.actions[0].name: must be the name of one of its quotas: calls`],
    [
      "best effort of a check",
      { actions: [{ adapter: "a", bestEffort: true }] },
      { kind: "deny" },
      `${at}.actions[0].bestEffort: is for quotas`,
    ],
  ])("%s", (_, rule, backend, problem) => {
    expect(problemsOf(rule, backend)).toEqual([problem]);
  });

  test("a cluster that is not there", () => {
    const opa = { kind: "opa", upstream: { cluster: "gone" }, path: "/v1/data/a" };
    expect(problemsOf({}, opa)).toEqual([
      `adapters[0].backend.upstream.cluster: "gone" is not a cluster of this snapshot`,
    ]);
  });

  test("a list that goes stale before it is read twice", () => {
    const parsed = Adapter.safeParse({ name: "a", backend: { ...LIST, refreshMs: "1m", staleForMs: "90s" } });
    expect(parsed.error?.issues.map(({ path }) => path)).toEqual([["backend", "staleForMs"]]);
  });
});

describe("an adapter of one's own is asked what its component is for", () => {
  const DIGEST = `sha256:${"0".repeat(64)}`;
  const own = (phases: readonly string[], more: object = {}) => ({
    kind: "filter",
    bundle: {
      digest: DIGEST,
      files: [{ name: "component.wasm", digest: DIGEST, sizeBytes: 1 }],
      manifest: {
        name: "own",
        world: "vespid:filter/filter@2.0.0",
        stage: "ratelimit",
        reads: ["user", "size"],
        writes: [],
        phases,
        configSchema: {},
        ...more,
      },
    },
  });
  const instance = { value: "number", attributes: { user: "string", size: "number" } };

  test.each<[object, object, readonly string[]]>([
    [own(["check"]), { attributes: { user: "request.method", size: "source.port" } }, []],
    [own(["setup", "quota"]), { value: 3, bestEffort: true }, []],
    [own(["check", "report"]), { phase: "report", attributes: { size: "response.code" } }, []],
    [own(["check", "report"], { instance }), { phase: "check", value: "source.port" }, []],
    [own(["check"], { reads: ["constructor"], instance: {} }), { attributes: { constructor: "request.method" } }, []],
    [own(["check", "report"]), {}, ["phase: is required: a is for check and report, name one of them"]],
    [own(["check"]), { phase: "report" }, ["phase: is report, and a is for check"]],
    [own(["request"]), {}, ["adapter: a has no handler of check, quota or report"]],
    [own(["check"]), { bestEffort: true }, ["bestEffort: is for quotas"]],
    [own(["quota"]), { value: "request.path" }, ["value: is of type string, must be int"]],
    [own(["check"], { instance: {} }), { value: "request.path" }, ["value: is not used by a"]],
    [
      own(["check"], { instance }),
      { value: "request.path", attributes: { size: "request.path" } },
      [
        "value: is of type string, must be int or double or duration",
        `attributes["size"]: is of type string, must be int or double or duration`,
      ],
    ],
    [
      own(["check"]),
      { attributes: { users: "source.ip" } },
      [`attributes["users"]: is not read by a; it reads user, size`],
    ],
    [
      own(["check"]),
      { attributes: { size: "response.code" } },
      [`attributes["size"]: response.code is not known before the request goes on, when checks and quotas run`],
    ],
  ])("%#", (backend, action, problems) => {
    expect(problemsOf({ actions: [{ adapter: "a", ...action }] }, backend)).toEqual(
      problems.map((problem) => `inbound.rules[0].actions[0].${problem}`),
    );
  });

  test("and calls clusters that are there", () => {
    const backend = { ...own(["check"]), upstreams: { keeper: { cluster: "gone" } } };
    expect(problemsOf({}, backend)).toEqual([
      `adapters[0].backend.upstreams.keeper.cluster: "gone" is not a cluster of this snapshot`,
    ]);
  });
});
