import { expect, test } from "bun:test";
import { useOf } from "../../test/contract/subjects.ts";
import { startClock } from "../../sdk/testing/exchange.ts";
import { Operations } from "./operations.ts";
import type { CalloutReply, CalloutFault } from "./callout.ts";
import type { Result } from "../exchange/failure.ts";

const BODY = new Uint8Array(1024 * 1024);
const REQUEST = "authz POST /\n\n";
const DONE = { ok: true, value: { status: 200, headers: [], body: new Uint8Array() } } as const;

/** Operations whose calls end when the test says so. */
function start() {
  const ends: (() => void)[] = [];
  const use = useOf(
    { kind: "builtin", name: "x" },
    { upstreams: { authz: { cluster: "authz", authority: undefined, timeoutMs: 1000 } } },
  );
  const operations = new Operations(
    use,
    () =>
      new Promise<Result<CalloutReply, CalloutFault>>((resolve) => {
        ends.push(() => resolve(DONE));
      }),
    startClock().schedule,
  );
  const fetch = (body: Uint8Array, request = REQUEST) => {
    const { promise: outcome, resolve: ended } = Promise.withResolvers<string>();
    return {
      started: operations.start("fetch", request, body, { message: undefined, bodyFailed: () => undefined, ended }),
      outcome,
    };
  };
  return { ends, fetch };
}

test("a body that is fetched with is as long as any other may be", async () => {
  const { ends, fetch } = start();
  const tooLong = fetch(new Uint8Array(BODY.length + 1));
  expect(tooLong.started.ok).toBe(true);
  expect(await tooLong.outcome).toBe("failed body is 1048577 bytes, limit is 1048576");
  expect(fetch(BODY).started.ok).toBe(true);
  expect(ends).toHaveLength(1);
});

test("bodies that are on their way hold a bounded amount together", async () => {
  const { ends, fetch } = start();
  for (let count = 0; count < 64; count++) fetch(BODY);
  expect(await fetch(BODY).outcome).toContain("on their way already, limit is 67108864");
  const [first] = ends;
  first?.();
  await Promise.resolve();
  await Promise.resolve();
  fetch(BODY);
  expect(ends).toHaveLength(65);
});

test("a head that is fetched with is bounded", () => {
  const { fetch } = start();
  expect(fetch(new Uint8Array(), `${REQUEST}a: ${"b".repeat(65_536)}\n`).started).toMatchObject({
    ok: false,
    error: expect.stringContaining("limit is 65536"),
  });
});
