import { expect, test } from "bun:test";
import { measure, packLines, renderLines } from "./statsd.ts";
import { Adapter, type BackendOf } from "../contract/adapter.ts";

function configOf(backend: object): BackendOf<"statsd"> {
  const { backend: parsed } = Adapter.parse({ name: "a", backend: { kind: "statsd", ...backend } });
  if (parsed.kind !== "statsd") throw new Error("is another kind");
  return parsed;
}

test("counters of one name and tags are summed, everything else is told by itself", () => {
  const config = configOf({ tags: "datadog", metrics: { t: { type: "timing", name: "time" }, g: { type: "gauge" } } });
  const lines = renderLines(
    [
      { name: "c", value: 2, attributes: { code: 200 } },
      { name: "c", value: undefined, attributes: { code: 200 } },
      { name: "c", value: 1, attributes: { code: 500 } },
      { name: "t", value: 1.5, attributes: {} },
      { name: "g", value: 7, attributes: {} },
    ].map((instance) => measure(instance, config)),
  );
  expect(lines).toEqual(["c:3|c|#code:200", "c:1|c|#code:500", "time:1.5|ms", "g:7|g"]);
});

test("what a request brings ends neither its tag, nor its line, nor its packet", () => {
  const config = configOf({ tags: "datadog", prefix: "m." });
  const attributes = { "a:b": "x|c\nevil:1|c", map: { skipped: "1" }, long: "y".repeat(500) };
  const [line = ""] = renderLines([measure({ name: "a:1|c\nb", value: 1, attributes }, config)]);
  expect(line).toBe(`m.a_1_c_b:1|c|#a_b:x_c_evil_1_c,long:${"y".repeat(200)}`);
});

test("packets hold whole lines, and none is longer than it may be", () => {
  expect(packLines(["aaaa", "bbbb", "cccc"], 9)).toEqual(["aaaa\nbbbb", "cccc"]);
  expect(packLines(["aaaa", "b".repeat(10), "c"], 9)).toEqual(["aaaa\nc"]);
  expect(packLines([], 9)).toEqual([]);
});
