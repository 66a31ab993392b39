// As many requests pass as may, of whom they may.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Shared } from "../../sdk/index.ts";
import { describeLibraryFilter, type RunningFilter, type Sending } from "../../test/contract/library.ts";
import { compileBucket, takeToken } from "./bucket.ts";
import filter from "./filter.ts";

const PER_IP = { name: "ip", key: [{ by: "ip" }], requests: 2, per: "10s" };

async function statuses(limit: RunningFilter, count: number, sending?: Sending): Promise<number[]> {
  const seen: number[] = [];
  for (let sent = 0; sent < count; sent++) seen.push((await limit.send(sending)).status);
  return seen;
}

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test("a bucket holds its burst, and fills again evenly", async () => {
    const limit = await start({ config: { limits: [{ ...PER_IP, burst: 3 }] } });
    expect(await statuses(limit, 4)).toEqual([200, 200, 200, 429]);
    limit.clock.advance(5000);
    expect(await statuses(limit, 2)).toEqual([200, 429]);
    limit.clock.advance(60_000);
    expect(await statuses(limit, 4)).toEqual([200, 200, 200, 429]);
  });

  test("a window counts from its beginning", async () => {
    const limit = await start({ config: { limits: [{ ...PER_IP, algorithm: "fixed_window" }] } });
    limit.clock.advance(10_000 - (limit.clock.now() % 10_000));
    expect(await statuses(limit, 3)).toEqual([200, 200, 429]);
    limit.clock.advance(9999);
    expect(await statuses(limit, 1)).toEqual([429]);
    limit.clock.advance(1);
    expect(await statuses(limit, 3)).toEqual([200, 200, 429]);
  });

  test("each has a limit of its own, by whatever the key names", async () => {
    const limit = await start({
      config: {
        trustedHops: 1,
        limits: [
          {
            ...PER_IP,
            key: [{ by: "ip" }, { header: "X-User" }, { metadata: "plan" }, { by: "path" }, { by: "method" }],
          },
        ],
      },
    });
    const base = { path: "/a", headers: { "x-user": "ada", "x-forwarded-for": "1.1.1.1" }, metadata: { plan: "gold" } };
    const others: readonly Sending[] = [
      base,
      { ...base, path: "/b" },
      { ...base, method: "HEAD" },
      { ...base, metadata: { plan: "free" } },
      { ...base, headers: { ...base.headers, "x-user": "eve" } },
      { ...base, headers: { ...base.headers, "x-forwarded-for": "2.2.2.2" } },
      { ...base, headers: { ...base.headers, "x-user": "x".repeat(5000) } },
    ];
    for (const other of others) expect(await statuses(limit, 3, other)).toEqual([200, 200, 429]);
    expect(await statuses(limit, 1, { ...base, path: "/a?page=2" })).toEqual([429]);
    // Without one of its parts, a request is not under the limit.
    expect(await statuses(limit, 3, { ...base, metadata: {} })).toEqual([200, 200, 200]);
    expect(await statuses(limit, 3, { ...base, headers: {} })).toEqual([200, 200, 200]);
  });

  test("values of two parts are not mistaken for others that read alike", async () => {
    const key = [{ header: "a" }, { header: "b" }];
    const limit = await start({ config: { limits: [{ name: "two", key, requests: 1, per: "1h" }] } });
    expect((await limit.send({ headers: { a: "x 1:y", b: "z" } })).status).toBe(200);
    expect((await limit.send({ headers: { a: "x", b: "y 1:z" } })).status).toBe(200);
  });

  test("a limit is about the requests that it names, and all limits hold", async () => {
    const limit = await start({
      config: {
        limits: [
          { name: "gold", requests: 3, per: "1h", when: { metadata: { plan: "gold" } } },
          {
            name: "writes",
            requests: 1,
            per: "1h",
            when: { method: "POST", path: "/api/", headers: { "x-kind": "a" } },
          },
        ],
      },
    });
    const write = { method: "POST", path: "/api/x", headers: { "x-kind": "a" } };
    expect(await statuses(limit, 2, write)).toEqual([200, 429]);
    expect(await statuses(limit, 2, { ...write, path: "/" })).toEqual([200, 200]);
    expect(await statuses(limit, 4, { metadata: { plan: "gold" } })).toEqual([200, 200, 200, 429]);
  });

  test("a refusal says how it stands and when to come back", async () => {
    const limit = await start({ config: { limits: [PER_IP] } });
    expect((await limit.send()).headers["x-ratelimit-limit"]).toBeUndefined();
    await limit.send();
    const { status, headers, body } = await limit.send();
    expect({ status, body }).toEqual({ status: 429, body: "local_rate_limited" });
    expect(headers).toMatchObject({
      "retry-after": "5",
      "x-envoy-ratelimited": "true",
      "x-ratelimit-limit": "2",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": "5",
    });
  });

  test("every reply says so where that is wanted, and none where not", async () => {
    const always = await start({ config: { limits: [PER_IP], headers: "always" } });
    expect((await always.send()).headers).toMatchObject({ "x-ratelimit-limit": "2", "x-ratelimit-remaining": "1" });
    const never = await start({ config: { limits: [PER_IP], headers: "never", status: 503 } });
    expect(await statuses(never, 2)).toEqual([200, 200]);
    const { status, headers } = await never.send();
    expect([status, headers["x-ratelimit-limit"], headers["retry-after"]]).toEqual([503, undefined, "5"]);
  });

  test("in shadow it refuses nothing", async () => {
    const limit = await start({ config: { limits: [PER_IP], shadow: true } });
    expect(await statuses(limit, 4)).toEqual([200, 200, 200, 200]);
  });

  test.each([
    [{ limits: [] }, "limits"],
    [{ limits: [PER_IP, PER_IP] }, "must have names of their own"],
    [{ limits: [{ ...PER_IP, key: [{}] }] }, "limits[0].key[0]: must have one of by, header and metadata"],
    [{ limits: [{ ...PER_IP, requests: 1_000_000_000 }] }, "use fixed_window"],
    [{ limits: [{ ...PER_IP, per: "25h" }] }, "must be 100 to 86400000"],
  ])("%j is a problem", async (config, message) => {
    expect(await start({ config }).catch(String)).toContain(message);
  });
});

describe("a bucket over counters", () => {
  test("never allows more than the burst and what came since, and gives as much to who waits", () => {
    const times = fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 20 }), (steps, requests, burst) => {
        const bucket = compileBucket({ requests, per: 1000, burst });
        if (typeof bucket === "string") throw new Error(bucket);
        let nowMs = 5;
        const shared = counterAt(() => nowMs);
        let tokens = burst;
        for (const step of steps) {
          nowMs += step;
          tokens = Math.min(burst, tokens + (step * requests) / 1000);
          const { isAllowed } = takeToken(shared, "k", bucket);
          // The exact bucket, with room for what rounding to units and milliseconds does.
          if (tokens > 1.1) expect(isAllowed).toBe(true);
          if (tokens < 0.9) expect(isAllowed).toBe(false);
          if (isAllowed) tokens -= 1;
        }
      }),
    );
  });

  test("two workers that find it idle do not both move it on by the time that it was idle", () => {
    const bucket = compileBucket({ requests: 1, per: 1000, burst: 2 });
    if (typeof bucket === "string") throw new Error(bucket);
    let nowMs = 900_000;
    let isFirst = true;
    const shared: Shared = counterAt(
      () => nowMs,
      () => {
        if (!isFirst) return;
        isFirst = false;
        expect(takeToken(shared, "k", bucket).isAllowed).toBe(true);
      },
    );
    expect(takeToken(shared, "k", bucket)).toMatchObject({ isAllowed: true, remaining: 0 });
    expect(takeToken(shared, "k", bucket).isAllowed).toBe(false);
    nowMs += 1000;
    expect(takeToken(shared, "k", bucket).isAllowed).toBe(true);
  });
});

/** One counter of one window, as all workers see it. */
function counterAt(nowMs: () => number, before: (attempt: number) => void = () => undefined): Shared {
  let value = 0;
  let looks = 0;
  return {
    incr(_key, count, { windowMs, limit = Infinity }) {
      if (count > 0) before(++looks);
      const ok = value + count <= limit;
      if (ok) value += count;
      return { ok, value, remaining: Infinity, resetMs: windowMs - (nowMs() % windowMs) };
    },
    get: () => undefined,
    cas: () => undefined,
    delete: () => false,
  };
}
