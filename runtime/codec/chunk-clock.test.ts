import { expect, test } from "bun:test";
import { ChunkClock } from "./chunk-clock.ts";
import { feedChunk } from "./chunk.ts";

const NOTHING = Buffer.alloc(0);

/** A clock that is a millisecond further each time that it is asked. */
function counting(): { now(): number; monotonic(): number } {
  let nowMs = 1000;
  let monotonicMs = 0;
  return { now: () => ++nowMs, monotonic: () => ++monotonicMs };
}

test("time stands still within a chunk, and goes on outside and in the next", () => {
  const clock = new ChunkClock(counting());
  expect([clock.monotonic(), clock.monotonic(), clock.now(), clock.now()]).toEqual([1, 2, 1001, 1002]);
  const seen: number[] = [];
  const taker = { data: () => seen.push(clock.monotonic(), clock.monotonic(), clock.now(), clock.now()) };
  feedChunk(taker, NOTHING);
  feedChunk(taker, NOTHING);
  expect(seen).toEqual([3, 3, 1003, 1003, 4, 4, 1004, 1004]);
  expect([clock.monotonic(), clock.monotonic()]).toEqual([5, 6]);
});

test("who asks for the exact time moves it on", () => {
  const clock = new ChunkClock(counting());
  const seen: number[] = [];
  feedChunk({ data: () => seen.push(clock.monotonic(), clock.exact.monotonic(), clock.monotonic()) }, NOTHING);
  expect(seen).toEqual([1, 2, 2]);
});

test("a chunk that throws does not stop time, nor does one inside another", () => {
  const clock = new ChunkClock(counting());
  const bug = (): void => {
    clock.monotonic();
    throw new Error("bug");
  };
  expect(() => feedChunk({ data: bug }, NOTHING)).toThrow("bug");
  expect([clock.monotonic(), clock.monotonic()]).toEqual([2, 3]);
  feedChunk({ data: () => feedChunk({ data: () => clock.monotonic() }, NOTHING) }, NOTHING);
  expect([clock.monotonic(), clock.monotonic()]).toEqual([5, 6]);
});
