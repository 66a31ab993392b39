import { expect, test } from "bun:test";
import { renderLine } from "./log.ts";

test("a line for people has the time, the level, the message and the fields", () => {
  const line = {
    level: 40,
    time: Date.UTC(2026, 0, 2, 3, 4, 5),
    program: "control",
    proxy: "a~1",
    problems: [{ path: "x" }],
    msg: "refused",
  };
  expect(renderLine(JSON.stringify(line))).toBe('03:04:05 WARN  refused  proxy=a~1 problems=[{"path":"x"}]');
});
