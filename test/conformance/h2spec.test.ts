// h2spec, strict, against the inbound side: every one of its cases, over cleartext and over TLS.
import { expect, setDefaultTimeout, test } from "bun:test";
import { builtPeer } from "../harness/built-peers.ts";
import { makeCertificates } from "../harness/certificates.ts";
import { runProgram } from "../harness/program.ts";
import { startProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

/** All of them: fewer would mean that h2spec did not run them. */
const CASES = 146;
const ANSWER_AFTER_MS = 20;

/** Runs every case on a port; what it counted, and the lines that tell of failed ones. */
async function runH2spec(port: number, ...flags: readonly string[]) {
  const command = [builtPeer("h2spec"), "--strict", "-o", "5", "-h", "127.0.0.1", "-p", String(port), ...flags];
  const { output } = await runProgram(command);
  const counts = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/u.exec(output)?.slice(1).map(Number);
  const failures = output.split("\n").filter((line) => /×|Expected:|Actual:/u.test(line));
  return { counts, failures };
}

/** An application that takes its time: h2spec's second frame must come before its answer. */
function startApplication(): Disposable & { readonly port: number } {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    http2: true,
    fetch: async () => {
      await Bun.sleep(ANSWER_AFTER_MS);
      return new Response("hello");
    },
  });
  return { port: server.port ?? 0, [Symbol.dispose]: () => void server.stop(true) };
}

test("all cases pass over cleartext, on a port that is declared HTTP/2", async () => {
  await using folder = await makeTempFolder();
  using upstream = startApplication();
  await using proxy = await startProxy({
    service: "h2spec",
    applicationPort: upstream.port,
    cwd: folder.path,
    accessLog: "off",
    // A port that tells protocols apart cannot take what is no preface for HTTP/2 gone wrong.
    snapshot: ({ inboundPort }) => ({
      inbound: { ports: [{ port: inboundPort, protocol: "http2" }] },
      clusters: [{ name: `inbound|${inboundPort}||`, endpoints: [{ address: "127.0.0.1", port: upstream.port }] }],
    }),
  });
  expect(await runH2spec(proxy.inboundPort)).toEqual({ counts: [CASES, CASES, 0, 0], failures: [] });
});

test("all cases pass over TLS", async () => {
  await using folder = await makeTempFolder();
  const { server } = await makeCertificates(folder);
  using upstream = startApplication();
  await using proxy = await startProxy({
    service: "h2spec",
    applicationPort: upstream.port,
    cwd: folder.path,
    accessLog: "off",
    snapshot: ({ inboundPort }) => ({
      inbound: {
        tls: { mode: "SIMPLE", certificates: [{ serverCertificate: server.certificate, privateKey: server.key }] },
      },
      clusters: [{ name: `inbound|${inboundPort}||`, endpoints: [{ address: "127.0.0.1", port: upstream.port }] }],
    }),
  });
  expect(await runH2spec(proxy.inboundPort, "-t", "-k")).toEqual({ counts: [CASES, CASES, 0, 0], failures: [] });
});
