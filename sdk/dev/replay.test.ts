// Recordings, run again.
import { expect, test } from "bun:test";
import type { Recorded } from "../../runtime/contract/recording.ts";
import { FilterUse } from "../../runtime/contract/filter.ts";
import { buildNativeFilter } from "../../runtime/chain/native-filter.ts";
import { defineFilter, reply } from "../index.ts";
import { startClock } from "../testing/exchange.ts";
import { surroundingsOf } from "../testing/run-filter.ts";
import { compareReplays, parseRecording, recordedVerdicts, ReplayClock, replayExchange } from "./replay.ts";

const filter = defineFilter({
  name: "guard",
  stage: "authz",
  reads: [":path", ":status", "x-user", "source.principal", "metadata.team", "request.time"],
  writes: ["x-seen", "x-body", "authorization"],
  body: { request: "buffer" },
  async request(request) {
    if (request.path === "/no") return reply({ status: 403 });
    request.headers.set("x-seen", `${request.headers.get("x-user")} ${request.attribute("source.principal")}`);
    request.headers.set("x-body", `${await request.body.text()} ${request.attribute("metadata.team")}`);
    request.headers.set("authorization", "Bearer fresh-token");
    return undefined;
  },
  response(response) {
    response.headers.set("x-seen", `${response.status}`);
  },
});

const recorded = (more: Partial<Recorded["request"]> = {}): Recorded => ({
  recording: 1,
  atMs: 1_700_000_000_000,
  filter: "default/guard",
  version: "live",
  attributes: { "source.ip": "10.0.0.9", "source.principal": "cluster.local/ns/a/sa/b", "metadata.team": "red" },
  request: {
    method: "POST",
    path: "/",
    authority: "app",
    headers: [["x-user", "ada"]],
    body: { kind: "text", text: "hello" },
    decided: {
      verdict: "proceed",
      edits: [
        { kind: "set", name: "x-seen", value: "ada cluster.local/ns/a/sa/b" },
        { kind: "set", name: "x-body", value: "hello red" },
        { kind: "set", name: "authorization", value: "[redacted]" },
      ],
      body: "touched",
    },
    ...more,
  },
  response: {
    status: 201,
    headers: [],
    decided: { verdict: "proceed", edits: [{ kind: "set", name: "x-seen", value: "201" }], body: "kept" },
  },
});

async function replay(one: Recorded) {
  const use = FilterUse.parse({ name: "guard", source: { kind: "builtin", name: "guard" }, stage: "authz" });
  const built = await buildNativeFilter(filter, use, surroundingsOf(startClock()));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  return replayExchange(built.value, one, new ReplayClock());
}

test("a version that decides as was recorded differs in nothing, left-out values included", async () => {
  const one = recorded();
  const now = await replay(one);
  expect(now.map(({ phase }) => phase)).toEqual(["request", "response"]);
  expect(compareReplays(recordedVerdicts(one), now)).toEqual([]);
});

test("what differs is told by phase, with the edits that the other does not have", async () => {
  const one = recorded({ headers: [["x-user", "bob"]] });
  const [difference, another] = compareReplays(recordedVerdicts(one), await replay(one));
  expect(another).toBeUndefined();
  expect(difference).toMatchObject({
    phase: "request",
    before: { edits: [{ name: "x-seen", value: "ada cluster.local/ns/a/sa/b" }] },
    now: { edits: [{ name: "x-seen", value: "bob cluster.local/ns/a/sa/b" }] },
  });
  const refused = recorded({ path: "/no" });
  expect(compareReplays(recordedVerdicts(refused), await replay(refused))[0]).toMatchObject({
    before: { verdict: "proceed" },
    now: { verdict: "reply", status: 403 },
  });
});

test("a recording that is none says so by line", () => {
  const good = JSON.stringify(recorded());
  expect(parseRecording(`${good}\n\n${good}\n`)).toMatchObject({ ok: true, value: [{}, {}] });
  expect(parseRecording(`${good}\n{`)).toEqual({ ok: false, problems: [{ path: "line 2", message: "is required" }] });
  expect(parseRecording("")).toEqual({ ok: false, problems: [{ path: "", message: "holds no exchange" }] });
  expect(parseRecording(JSON.stringify({ ...recorded(), atMs: "now" }))).toMatchObject({
    problems: [{ path: "line 1.atMs" }],
  });
});
