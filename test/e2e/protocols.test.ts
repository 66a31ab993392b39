// A ServiceEntry is all that a user of gRPC or of Redis applies: control tells both sidecars what the port speaks.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { GRPC_CLIENT, GRPC_SERVER } from "../conformance/interop-programs.ts";
import { startControl, type RunningControl } from "../harness/control.ts";
import { ready } from "../harness/peers.ts";
import { freePort } from "../harness/ports.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { ROOT, startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
let folder: TempFolder;
let control: RunningControl;
let client: RunningProxy;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  control = owned.use(await startControl({ cwd: folder.path }));
  client = await startSidecar("client");
});
afterAll(() => owned.disposeAsync());

/** A sidecar that control configures: before an application, or of a client. */
async function startSidecar(service: string, applicationPort?: number): Promise<RunningProxy> {
  const started = startProxy({
    service,
    control: control.url,
    cwd: folder.path,
    accessLog: folder.file(`${service}.log`),
    ...(applicationPort === undefined ? { hasOutbound: true } : { applicationPort }),
    flags: ["--state", folder.file(`${service}-state`)],
  });
  return owned.use(await started);
}

/** An entry whose one endpoint is a sidecar. */
function renderEntry(host: string, number: number, protocol: string, sidecar: RunningProxy): string {
  const port = { number, name: "main", protocol, targetPort: sidecar.inboundPort };
  return JSON.stringify({
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name: host },
    spec: { hosts: [host], resolution: "STATIC", ports: [port], endpoints: [{ address: "127.0.0.1" }] },
  });
}

/** Applies an entry, and returns once both sidecars run what came of it: whether a push has ended only they know. */
async function apply(host: string, number: number, protocol: string, sidecar: RunningProxy): Promise<void> {
  await control.apply(renderEntry(host, number, protocol, sidecar));
  await runs(client, `"outbound|${number}||${host}.default.svc.cluster.local"`);
  await runs(sidecar, JSON.stringify({ port: sidecar.inboundPort, protocol: protocol.toLowerCase() }));
}

async function runs(sidecar: RunningProxy, text: string): Promise<void> {
  await until(`${sidecar.admin} to run ${text}`, async () => {
    const dump: unknown = await (await fetch(`${sidecar.admin}/config_dump`)).json();
    return JSON.stringify(dump).includes(text) ? true : undefined;
  });
}

/** The access log of a sidecar once it has a line that holds `text`. */
async function logged(service: string, text: string): Promise<string> {
  return until(`the log of ${service} to say ${text}`, async () => {
    // A file that was opened before it was written keeps its old size.
    const file = Bun.file(folder.file(`${service}.log`));
    const log = (await file.exists()) ? await file.text() : "";
    return log.includes(text) ? log : undefined;
  });
}

test("gRPC: every kind of call goes over HTTP/2 through both sidecars", async () => {
  const server = owned.use(startProgram(["node", "-e", GRPC_SERVER], { cwd: ROOT }));
  const [, port = ""] = await server.printed(/LISTENING (\d+)/u);
  const sidecar = await startSidecar("echo", Number(port));
  await apply("echo", 50_051, "GRPC", sidecar);
  const address = `127.0.0.1:${client.outboundPort}`;
  const run = await runProgram(["node", "-e", GRPC_CLIENT, address, "echo:50051"], { cwd: ROOT });
  expect({ status: run.status, output: run.status === 0 ? "" : run.output }).toEqual({ status: 0, output: "" });
  expect(JSON.parse(run.stdout)).toEqual({
    unary: [100_000, "kept"],
    clientStream: "3",
    serverStream: ["a", "a", "a"],
    both: ["one", "two", "three"],
    refused: [9, "not yet: 100%"],
  });
  for (const service of ["client", "echo"]) {
    expect(await logged(service, "/echo.Echo/Refuse")).toContain('"POST /echo.Echo/Unary HTTP/2" 200');
  }
});

test("Redis: redis-cli talks to redis-server through both sidecars, as TCP", async () => {
  const port = freePort();
  const command = ["redis-server", "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder.path];
  owned.use(await ready("redis-server", port, startProgram(command)));
  const sidecar = await startSidecar("cache", port);
  // Nothing is redirected here: the client's sidecar listens on the number of the service's port.
  await apply("cache", client.outboundPort, "REDIS", sidecar);
  const redis = async (...words: readonly string[]): Promise<string> => {
    const run = await runProgram(["redis-cli", "-p", String(client.outboundPort), ...words]);
    return run.output.trim();
  };
  const value = "x".repeat(100_000);
  expect(await redis("ping")).toBe("PONG");
  expect(await redis("set", "mesh", value)).toBe("OK");
  expect(await redis("get", "mesh")).toBe(value);
  await logged("client", "outbound|");
  const metrics = await (await fetch(`${client.admin}/stats/prometheus`)).text();
  expect(metrics).toMatch(/^istio_tcp_connections_opened_total\{.*cache\.default\.svc\.cluster\.local.*\} [3-9]/mu);
});
