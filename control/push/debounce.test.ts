import { describe, expect, test } from "bun:test";
import { stepChanged, type DebounceState } from "./debounce.ts";

const timing = { quietMs: 100, waitMaxMs: 1000 };

describe("many changes in a row become one publication", () => {
  test("a change after a quiet time is published at once", () => {
    const state = stepChanged({ kind: "quiet", lastAtMs: 0 }, 5000, timing);
    expect(state).toEqual({ kind: "waiting", firstAtMs: 5000, dueAtMs: 5000 });
  });

  test("a change soon after a publication waits for quiet, and each further one moves the moment", () => {
    const first = stepChanged({ kind: "quiet", lastAtMs: 4950 }, 5000, timing);
    expect(first).toEqual({ kind: "waiting", firstAtMs: 5000, dueAtMs: 5100 });
    expect(stepChanged(first, 5080, timing)).toEqual({ kind: "waiting", firstAtMs: 5000, dueAtMs: 5180 });
  });

  test("changes that never end are published after the longest wait", () => {
    let state: DebounceState = { kind: "quiet", lastAtMs: -10 };
    for (let nowMs = 0; nowMs <= 990; nowMs += 90) state = stepChanged(state, nowMs, timing);
    expect(state).toEqual({ kind: "waiting", firstAtMs: 0, dueAtMs: 1000 });
  });
});
