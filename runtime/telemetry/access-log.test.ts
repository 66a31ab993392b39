import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { EMPTY_BODY } from "../exchange/body.ts";
import { Exchange } from "../exchange/exchange.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { makeTempFolder } from "../../test/harness/temp-folder.ts";
import { until } from "../../test/harness/until.ts";
import { renderAccessLine } from "./access-line.ts";
import { AccessLog } from "./access-log.ts";

const clock = { now: () => Date.UTC(2026, 10, 23, 12, 0, 0, 7), monotonic: () => 100 };

/** One from the outside, in small and in large. */
function exchangeOf(turn: number): Exchange {
  const downstream = {
    direction: "inbound" as const,
    remoteIp: "127.0.0.1",
    remoteAddress: `127.0.0.1:${40_000 + (turn % 7)}`,
    localAddress: "127.0.0.1:8080",
    localPort: 8080,
    originalDestination: undefined,
    tls: undefined,
  };
  const head = Buffer.from(
    `User-Agent: agent/${turn}\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n\r\n`,
  );
  const agentEnd = head.indexOf("\r\n");
  const first = agentEnd + 2;
  const second = first + 27;
  const offsets = [0, 10, 12, agentEnd, first, first + 15, first + 17, first + 25, second, second + 15, second + 17];
  const headers = new HeaderMap();
  headers.load(head, new Int32Array([...offsets, second + 25]), new Uint8Array(3), 3);
  const path = turn % 500 === 499 ? `/${"x".repeat(turn * 100)}` : `/${turn}`;
  const exchange = new Exchange(downstream, "GET", path, `host-${turn % 3}`, "HTTP/2", headers, EMPTY_BODY, clock);
  Object.assign(exchange, { status: 200 + (turn % 2), bytesSent: turn, requestId: `id-${turn}`, upstreamHost: "up:1" });
  return exchange;
}

test("every line is in the file, whole and in order, whatever its length", async () => {
  await using folder = await makeTempFolder();
  const log = new AccessLog(folder.file("access.log"));
  let lines = "";
  for (let turn = 0; turn < 3000; turn++) {
    const exchange = exchangeOf(turn);
    lines += renderAccessLine(exchange, 100);
    log.log(exchange, 100);
    // Some are written while others come.
    if (turn % 700 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(lines).toContain('"10.0.0.1, 10.0.0.2" "agent/1" "id-1" "host-1" "up:1"');
  await until(
    "the lines to be in the file",
    () => statSync(folder.file("access.log")).size >= lines.length || undefined,
  );
  log.close();
  expect(log.droppedLines).toBe(0);
  const written = await Bun.file(folder.file("access.log")).text();
  expect(written.length).toBe(lines.length);
  expect(written === lines).toBe(true);
});
