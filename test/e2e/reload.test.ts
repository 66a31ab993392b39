// A snapshot file is read again on demand: a renewed certificate is shown, and connections that are open go on.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFile } from "node:fs/promises";
import { connect } from "node:tls";
import { makeAuthority, type CertificateFiles, type TestAuthority } from "../harness/authority.ts";
import { runProgram } from "../harness/program.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
let folder: TempFolder;
let authority: TestAuthority;
let first: CertificateFiles;
let second: CertificateFiles;
let applicationPort = 0;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  authority = await makeAuthority(folder);
  first = await authority.issue("first", "DNS:first.test");
  second = await authority.issue("second", "DNS:second.test");
  const application = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hello") });
  owned.defer(() => application.stop(true));
  applicationPort = application.port ?? 0;
});
afterAll(() => owned.disposeAsync());

/** The certificate that stands in the file which the snapshot names. */
async function put(files: CertificateFiles): Promise<void> {
  await copyFile(files.certificate, folder.file("server.pem"));
  await copyFile(files.privateKey, folder.file("server.key"));
}

async function reload(proxy: RunningProxy): Promise<string> {
  const reply = await fetch(`${proxy.admin}/reload`, { method: "POST" });
  return `${reply.status} ${(await reply.text()).trimEnd()}`;
}

/** What curl gets from the host of that name, on connections of its own; one may fall to any worker. */
async function ask(port: number, host: string): Promise<ReadonlySet<string>> {
  const one = ["--resolve", `${host}:${port}:127.0.0.1`, "--cacert", authority.root, `https://${host}:${port}/`];
  const runs = Array.from({ length: 8 }, () => runProgram(["curl", "-sS", "--http1.1", ...one]));
  return new Set((await Promise.all(runs)).map(({ stdout, status }) => `${status} ${stdout}`));
}

test.each([1, 2])("a renewed certificate, %i worker(s)", async (concurrency) => {
  await put(first);
  await using proxy = await startProxy({
    service: "reviews",
    applicationPort,
    concurrency,
    cwd: folder.path,
    accessLog: "off",
    flags: ["--state", folder.file(`state-${concurrency}`)],
    snapshot: ({ inboundPort }) => ({
      inbound: {
        ports: [{ port: inboundPort, protocol: "http" }],
        tls: {
          mode: "SIMPLE",
          certificates: [{ serverCertificate: folder.file("server.pem"), privateKey: folder.file("server.key") }],
        },
      },
    }),
  });
  const kept = connect({
    host: "127.0.0.1",
    port: proxy.inboundPort,
    servername: "first.test",
    rejectUnauthorized: false,
  });
  let text = "";
  kept.on("data", (chunk) => (text += String(chunk)));
  const askKept = async (): Promise<void> => {
    const before = text.length;
    kept.write("GET / HTTP/1.1\r\nHost: first.test\r\n\r\n");
    await until("a reply on the kept connection", () => (text.slice(before).includes("hello") ? true : undefined));
  };
  await askKept();
  expect(await ask(proxy.inboundPort, "first.test")).toEqual(new Set(["0 hello"]));

  await put(second);
  expect(await reload(proxy)).toBe("200 OK");
  expect(await ask(proxy.inboundPort, "second.test")).toEqual(new Set(["0 hello"]));
  // 60: the certificate is another's.
  expect(await ask(proxy.inboundPort, "first.test")).toEqual(new Set(["60 "]));
  await askKept();

  await Bun.write(folder.file("server.pem"), "none");
  expect(await reload(proxy)).toMatch(/^409 not reloaded: .*holds no PEM/su);
  expect(await ask(proxy.inboundPort, "second.test")).toEqual(new Set(["0 hello"]));
  await askKept();
  kept.destroy();
});

test("without a file there is nothing to reload, and a link cannot ask for it", async () => {
  await using proxy = await startProxy({ service: "reviews", applicationPort, cwd: folder.path, accessLog: "off" });
  expect(await reload(proxy)).toBe("409 not reloaded: there is no --config to read");
  expect((await fetch(`${proxy.admin}/reload`)).status).toBe(405);
});
