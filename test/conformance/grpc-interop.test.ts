// The official gRPC interop client and server (grpc-go): every case through one sidecar, and through two.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { builtPeer } from "../harness/built-peers.ts";
import { ready } from "../harness/peers.ts";
import { freePort } from "../harness/ports.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { startProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const CASES = [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
  "status_code_and_message",
  "special_status_message",
  "custom_metadata",
  "unimplemented_method",
  "unimplemented_service",
];

const owned = new AsyncDisposableStack();
/** Where the client connects: to the inbound side before the server, or to the outbound side that sends there. */
const entries = { one: 0, two: 0 };

beforeAll(async () => {
  const folder = owned.use(await makeTempFolder());
  const port = freePort();
  const server = startProgram([builtPeer("grpc-interop-server"), "--port", String(port)]);
  owned.use(await ready("grpc-interop-server", port, server));
  const inbound = owned.use(
    await startProxy({ service: "server", applicationPort: port, cwd: folder.path, accessLog: folder.file("in.log") }),
  );
  const cluster = {
    name: "server",
    endpoints: [{ address: "127.0.0.1", port: inbound.inboundPort }],
    protocol: "http2",
  };
  const outbound = owned.use(
    await startProxy({
      service: "client",
      hasOutbound: true,
      cwd: folder.path,
      accessLog: folder.file("out.log"),
      snapshot: () => ({
        outbound: {
          virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "server" }] }] }],
        },
        clusters: [cluster],
      }),
    }),
  );
  entries.one = inbound.inboundPort;
  entries.two = outbound.outboundPort;
});

afterAll(() => owned.disposeAsync());

describe.each(["one", "two"] as const)("through %s", (hops) => {
  test.each(CASES)("%s passes", async (name) => {
    const address = ["--server_host", "127.0.0.1", "--server_port", String(entries[hops])];
    const { status, output } = await runProgram([builtPeer("grpc-interop-client"), ...address, "--test_case", name]);
    expect({ status, output: status === 0 ? "" : output }).toEqual({ status: 0, output: "" });
  });
});
