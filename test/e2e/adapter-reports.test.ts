// Rules that tell adapters of finished exchanges, through a real proxy to real receivers.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { startAdapted } from "../harness/adapters.ts";
import { startCollector, type Collector } from "../harness/collector.ts";
import { freePorts } from "../harness/ports.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

let folder: TempFolder;
let collector: Collector;

beforeAll(async () => {
  folder = await makeTempFolder();
  collector = await startCollector(folder);
});
afterAll(async () => {
  await collector[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const SOON = { ageMs: "50ms" };

test("stdout writes a line of JSON for each exchange that matches", async () => {
  const file = folder.file("lines.json");
  await using sidecar = await startAdapted({
    folder,
    adapters: [
      { name: "lines", backend: { kind: "stdout", file, batch: SOON } },
      { name: "stream", backend: { kind: "stdout", batch: SOON } },
    ],
    rules: [
      {
        name: "failures",
        match: "response.code >= 500",
        actions: [
          {
            adapter: "lines",
            attributes: {
              path: "request.path",
              code: "response.code",
              from: "source.ip",
              user: `request.headers["x-user"] | "nobody"`,
              at: "request.time",
              type: `response.headers["content-type"]`,
              principal: "source.principal",
            },
          },
        ],
      },
      { name: "all", actions: [{ adapter: "stream", name: "seen", attributes: { path: "request.path" } }] },
    ],
  });
  await sidecar.get("/");
  await sidecar.get("/status/503", { "x-user": "ada" });
  const text = await until("the line", async () => {
    const written = await readFile(file, "utf8");
    return written === "" ? undefined : written;
  });
  const { time, at, ...line } = z.looseObject({ time: z.iso.datetime(), at: z.iso.datetime() }).parse(JSON.parse(text));
  expect(line).toEqual({
    instance: "failures",
    path: "/status/503",
    code: 503,
    from: "127.0.0.1",
    user: "ada",
    type: "text/plain;charset=utf-8",
  });
  expect(Date.parse(time) - Date.parse(at)).toBeWithin(0, 60_000);
  await sidecar.proxy.program.printed(/"instance":"seen","path":"\/status\/503"/u);
});

test("statsd's counters, gauges and histograms reach a StatsD server with their tags", async () => {
  await using sidecar = await startAdapted({
    folder,
    adapters: [
      {
        name: "statsd",
        backend: {
          kind: "statsd",
          address: `127.0.0.1:${collector.statsdPort}`,
          prefix: "mesh.",
          tags: "datadog",
          metrics: { took: { type: "timing", name: "latency" } },
          batch: SOON,
        },
      },
    ],
    rules: [
      {
        name: "requests",
        actions: [
          { adapter: "statsd", attributes: { code: "response.code", tenant: `request.headers["x-tenant"]` } },
          { adapter: "statsd", name: "took", value: "response.duration" },
        ],
      },
    ],
  });
  // A value from a request must not end its tag.
  for (const tenant of ["blue", "blue", "a,b|c:d#e@f g\u00e9"]) await sidecar.get("/", { "x-tenant": tenant });
  const counted = await collector.received("three requests", (text) => {
    const points = pointsOf(text, "mesh.requests");
    return points.reduce((sum, { value }) => sum + value, 0) === 3 ? points : undefined;
  });
  expect(new Set(counted.map(({ attributes }) => attributes))).toEqual(
    new Set([`{"code":"200","tenant":"blue"}`, `{"code":"200","tenant":"a_b_c_d_e_f_g_"}`]),
  );
  await collector.received("a timing", (text) => (text.includes(`"name":"mesh.latency"`) ? true : undefined));
});

test("otlp's log records and metrics reach a collector", async () => {
  await using sidecar = await startAdapted({
    folder,
    clusters: { collector: collector.otlpPort },
    adapters: [
      {
        name: "otlp",
        backend: {
          kind: "otlp",
          upstream: { cluster: "collector" },
          resource: { "deployment.environment": "test" },
          metrics: {
            "mesh.calls": { type: "counter", unit: "{call}" },
            "mesh.duration": { type: "histogram", unit: "ms", bounds: [1000, 10_000] },
          },
          batch: SOON,
        },
      },
    ],
    rules: [
      {
        name: "otlp",
        actions: [
          { adapter: "otlp", name: "access", attributes: { path: "request.path", headers: "request.headers" } },
          { adapter: "otlp", name: "mesh.calls", attributes: { code: "response.code" } },
          { adapter: "otlp", name: "mesh.duration", value: "response.duration" },
        ],
      },
    ],
  });
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  await sidecar.get("/one", { traceparent: `00-${trace}-00f067aa0ba902b7-01` });
  await sidecar.get("/two");
  const line = await collector.received("a log record of /one", (text) =>
    text.split("\n").find((one) => one.includes(`"stringValue":"/one"`)),
  );
  expect(line).toContain(`"traceId":"${trace}"`);
  expect(line).toContain(`{"key":"service.name","value":{"stringValue":"reviews"}}`);
  expect(line).toContain(`{"key":"deployment.environment","value":{"stringValue":"test"}}`);
  expect(line).toContain(`"eventName":"access"`);
  await collector.received("both calls, and how long they took", (text) => {
    const points = pointsOf(text, "mesh.calls");
    for (const { attributes } of points) expect(attributes).toBe('{"code":"200"}');
    const calls = points.reduce((sum, { value }) => sum + value, 0);
    const counted = [...text.matchAll(/"bucketCounts":\["(\d+)","0","0"\]/gu)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
    return calls === 2 && counted === 2 ? true : undefined;
  });
});

test("fluentd's events are kept until a server has acknowledged them, though it was away at first", async () => {
  const ports = freePorts(3);
  const [, , fluentPort = 0] = ports;
  await using sidecar = await startAdapted({
    folder,
    adapters: [
      { name: "fluentd", backend: { kind: "fluentd", address: `127.0.0.1:${fluentPort}`, tag: "mesh", batch: SOON } },
    ],
    rules: [
      {
        name: "access",
        actions: [{ adapter: "fluentd", attributes: { path: "request.path", size: "response.size" } }],
      },
    ],
  });
  for (const path of ["/x", "/y", "/z"]) await sidecar.get(path);
  await until("a batch to fail", async () =>
    (await sidecar.metric("vespid_adapter_send_failures_total")) > 0 ? true : undefined,
  );
  expect(await sidecar.metric("vespid_adapter_queue_length")).toBe(3);
  await using late = await startCollector(folder, ports);
  const text = await late.received("all three", (written) =>
    ["/x", "/y", "/z"].every((path) => written.includes(`"stringValue":"${path}"`)) ? written : undefined,
  );
  expect(text).toContain(`{"key":"fluent.tag","value":{"stringValue":"mesh.access"}}`);
  expect(text).toContain(`{"key":"size","value":{"intValue":"5"}}`);
  await until("the queue to be empty", async () =>
    (await sidecar.metric("vespid_adapter_queue_length")) === 0 ? true : undefined,
  );
  expect(await sidecar.metric("vespid_adapter_reports_sent_total")).toBe(3);
});

test.each([1, 2])("what waits is sent when the proxy ends (%p workers)", async (concurrency) => {
  const file = folder.file(`drained-${concurrency}.json`);
  const sidecar = await startAdapted({
    folder,
    concurrency,
    adapters: [{ name: "lines", backend: { kind: "stdout", file, batch: { ageMs: "1h" } } }],
    rules: [{ name: "all", actions: [{ adapter: "lines", attributes: { path: "request.path" } }] }],
  });
  for (let index = 0; index < 8; index++) await sidecar.get(`/${index}`);
  expect(await readFile(file, "utf8")).toBe("");
  await sidecar[Symbol.asyncDispose]();
  const lines = (await readFile(file, "utf8")).trim().split("\n");
  expect(lines.map((line) => z.object({ path: z.string() }).parse(JSON.parse(line)).path).toSorted()).toEqual([
    "/0",
    "/1",
    "/2",
    "/3",
    "/4",
    "/5",
    "/6",
    "/7",
  ]);
});

test("a receiver that takes nothing costs what the queue cannot hold, and no exchange", async () => {
  // It accepts, and never says a word.
  using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  await using sidecar = await startAdapted({
    folder,
    adapters: [
      {
        name: "fluentd",
        backend: {
          kind: "fluentd",
          address: `127.0.0.1:${silent.port}`,
          timeoutMs: "200ms",
          batch: { entriesMax: 2, queueMax: 4, ageMs: "10ms" },
        },
      },
    ],
    rules: [{ name: "all", actions: [{ adapter: "fluentd", attributes: { path: "request.path" } }] }],
  });
  for (let index = 0; index < 10; index++) expect((await sidecar.get(`/${index}`)).status).toBe(200);
  await until("six to be dropped", async () =>
    (await sidecar.metric("vespid_adapter_reports_dropped_total", `reason="full"`)) === 6 ? true : undefined,
  );
  expect(await sidecar.metric("vespid_adapter_queue_length")).toBe(4);
});

/** OTLP's JSON: whole numbers of 64 bits are texts. */
const Value = z.union([z.object({ stringValue: z.string() }), z.object({ intValue: z.string() })]);

const Data = z.object({
  resourceMetrics: z.array(
    z.object({
      scopeMetrics: z.array(
        z.object({
          metrics: z.array(
            z.object({
              name: z.string(),
              sum: z
                .object({
                  dataPoints: z.array(
                    z.object({
                      attributes: z.array(z.object({ key: z.string(), value: Value })).default([]),
                      asDouble: z.number().optional(),
                      asInt: z.string().optional(),
                    }),
                  ),
                })
                .optional(),
            }),
          ),
        }),
      ),
    }),
  ),
});

interface Point {
  readonly attributes: string;
  readonly value: number;
}

/** Sums of a metric in the collector's lines. */
function pointsOf(text: string, name: string): readonly Point[] {
  return text
    .split("\n")
    .filter((line) => line.includes(`"name":"${name}"`))
    .flatMap((line) => Data.parse(JSON.parse(line)).resourceMetrics)
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
    .filter((metric) => metric.name === name)
    .flatMap(({ sum }) => sum?.dataPoints ?? [])
    .map(({ attributes, asDouble, asInt }) => {
      const named = attributes.map(({ key, value }) => [key, Object.values(value).at(0)] as const);
      return {
        attributes: JSON.stringify(Object.fromEntries(named.toSorted(([a], [b]) => (a < b ? -1 : 1)))),
        value: Number(asDouble ?? asInt),
      };
    });
}
