// Faults happen to as many requests as configured, as configured.
import { describe, expect, test } from "bun:test";
import { describeLibraryFilter } from "../../test/contract/library.ts";
import { Config } from "./config.ts";
import filter from "./filter.ts";
import { planAbort, planDelay } from "./plan.ts";

const ALWAYS = { percentage: { value: 100 } };
const GRPC = { "content-type": "application/grpc+proto" };

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test("a delay holds the request back, and no longer", async () => {
    const fault = await start({ config: { delay: { fixedDelay: "2s", ...ALWAYS } } });
    let isOver = false;
    const sent = fault.send().finally(() => {
      isOver = true;
    });
    fault.clock.advance(1999);
    await Bun.sleep(0);
    expect(isOver).toBe(false);
    fault.clock.advance(1);
    expect(await sent).toMatchObject({ status: 200, forwarded: { body: "" } });
  });

  test("a delay and an abort are independent: both may happen", async () => {
    const fault = await start({
      config: { delay: { fixedDelay: "1s", ...ALWAYS }, abort: { httpStatus: 418, ...ALWAYS } },
    });
    const sent = fault.send();
    fault.clock.advance(1000);
    expect(await sent).toMatchObject({ status: 418, body: "fault filter abort", forwarded: undefined });
  });

  test.each([
    [{ httpStatus: 503 }, {}, 503, undefined],
    [{ grpcStatus: "UNAVAILABLE" }, {}, 503, undefined],
    [{ grpcStatus: "NOT_FOUND" }, GRPC, 200, "5"],
    [{ grpcStatus: "14" }, GRPC, 200, "14"],
    [{ fromHeader: true }, {}, 200, undefined],
    [{ fromHeader: true }, { "x-envoy-fault-abort-request": "429" }, 429, undefined],
    [{ fromHeader: true }, { "x-envoy-fault-abort-request": "99" }, 200, undefined],
    [{ fromHeader: true }, { "x-envoy-fault-abort-grpc-request": "7", ...GRPC }, 200, "7"],
  ])("abort %j of a request with %j is %d, gRPC status %p", async (abort, headers, status, grpcStatus) => {
    const fault = await start({ config: { abort: { ...abort, ...ALWAYS } } });
    const sent = await fault.send({ method: "POST", headers });
    expect(sent.status).toBe(status);
    expect(sent.headers["grpc-status"]).toBe(grpcStatus);
  });

  test("a header asks for a delay, up to the configured longest", async () => {
    const fault = await start({ config: { delay: { fromHeader: true, maxDelay: "100ms", ...ALWAYS } } });
    const sent = fault.send({ headers: { "x-envoy-fault-delay-request": "60000" } });
    fault.clock.advance(100);
    expect((await sent).status).toBe(200);
    expect((await fault.send()).status).toBe(200);
  });

  test("a share of the requests meets it, and without a share none", async () => {
    const half = await start({ config: { abort: { httpStatus: 500, percentage: { value: 50 } } } });
    const none = await start({ config: { abort: { httpStatus: 500 } } });
    let aborted = 0;
    for (let count = 0; count < 400; count++) {
      if ((await half.send()).status === 500) aborted++;
      expect((await none.send()).status).toBe(200);
    }
    // Fair dice leave these bounds once in 10⁹ runs.
    expect(aborted).toBeGreaterThan(140);
    expect(aborted).toBeLessThan(260);
  });

  test("beyond so many at once, requests are not delayed", async () => {
    const fault = await start({ config: { delay: { fixedDelay: "1s", ...ALWAYS }, activeMax: 1 } });
    const first = fault.send();
    expect((await fault.send()).status).toBe(200);
    fault.clock.advance(1000);
    await first;
    const third = fault.send();
    fault.clock.advance(1000);
    expect((await third).status).toBe(200);
  });

  test.each([
    [{}, "must have delay or abort"],
    [{ abort: { grpcStatus: "BROKEN", ...ALWAYS } }, 'is "BROKEN", must be one of OK, CANCELLED'],
    [{ delay: { fixedDelay: "soon" } }, "is not a duration"],
    [{ delay: {} }, "must have either fixedDelay or fromHeader"],
  ])("%j is a problem", async (config, message) => {
    expect(await start({ config }).catch(String)).toContain(message);
  });
});

describe("a client may ask for fewer faults, never for more", () => {
  test.each([
    [10, "5", 0.049, 50],
    [10, "5", 0.051, 0],
    [10, "100", 0.099, 50],
    [10, "100", 0.101, 0],
    [10, null, 0.099, 50],
  ])("configured %d %%, asked for %p, dice %d: %d ms", (value, asked, dice, delayMs) => {
    const config = Config.parse({
      delay: { fromHeader: true, percentage: { value } },
      abort: { fromHeader: true, percentage: { value } },
    });
    const read = (name: string): string | null =>
      name.endsWith("percentage") ? asked : name.includes("delay") ? "50" : "500";
    expect(planDelay(config, read, () => dice)).toBe(delayMs);
    expect(planAbort(config, read, () => dice)?.kind).toBe(delayMs === 0 ? undefined : "http");
  });
});
