// Policies of a real OPA server, asked over the mesh's own clusters.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { builtPeer } from "../harness/built-peers.ts";
import { startAdapted } from "../harness/adapters.ts";
import { ready, type Peer } from "../harness/peers.ts";
import { freePort } from "../harness/ports.ts";
import { startProgram } from "../harness/program.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";

const POLICY = `package mesh

default allow := false

allow if input.method == "GET"
allow if input.claims["x-role"] == "admin"

default decision := {"allow": false, "status": 401, "message": "who are you?"}

decision := {"allow": true} if input.user
`;

let folder: TempFolder;
let opa: Peer;

beforeAll(async () => {
  folder = await makeTempFolder();
  const file = folder.file("mesh.rego");
  await Bun.write(file, POLICY);
  const port = freePort();
  const program = startProgram([
    builtPeer("opa"),
    "run",
    "--server",
    "--disable-telemetry",
    "--log-level=info",
    "--addr",
    `127.0.0.1:${port}`,
    file,
  ]);
  opa = await ready("OPA", port, program);
});
afterAll(async () => {
  await opa[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function backend(cluster: string, path: string) {
  return { kind: "opa" as const, upstream: { cluster }, path };
}

const ATTRIBUTES = { method: "request.method", claims: "request.headers", user: `request.headers["x-user"]` };

test("a document that is a boolean decides, with the action's attributes as its input", async () => {
  await using sidecar = await startAdapted({
    folder,
    clusters: { opa: opa.port },
    adapters: [
      {
        name: "opa",
        backend: { kind: "opa", upstream: { cluster: "opa" }, path: "/v1/data/mesh/allow", message: "no" },
      },
    ],
    rules: [{ name: "all", actions: [{ adapter: "opa", attributes: ATTRIBUTES }] }],
  });
  const url = `http://127.0.0.1:${sidecar.proxy.inboundPort}/`;
  const ask = async (init: RequestInit): Promise<string> => {
    const reply = await fetch(url, init);
    return `${reply.status} ${await reply.text()}`;
  };
  expect([
    await ask({}),
    await ask({ method: "POST" }),
    await ask({ method: "POST", headers: { "x-role": "admin" } }),
  ]).toEqual(["200 hello", "403 no", "200 hello"]);
});

test("a document that is an object says how it refuses; what it said is kept for the same input", async () => {
  await using sidecar = await startAdapted({
    folder,
    clusters: { opa: opa.port },
    adapters: [
      {
        name: "opa",
        backend: {
          kind: "opa",
          upstream: { cluster: "opa" },
          path: "/v1/data/mesh/decision",
          validForMs: "1h",
          validUses: 3,
        },
      },
    ],
    rules: [{ name: "all", actions: [{ adapter: "opa", attributes: { user: ATTRIBUTES.user } }] }],
  });
  const refused = await sidecar.get("/");
  expect([refused.status, await refused.text()]).toEqual([401, "who are you?"]);
  for (let index = 0; index < 4; index++) expect((await sidecar.get("/", { "x-user": "ada" })).status).toBe(200);
  // One answer serves three times: the fourth asks again.
  const asked = async (outcome: string): Promise<number> =>
    sidecar.metric("vespid_adapter_dispatches_total", `outcome="${outcome}"`);
  expect([await asked("allowed"), await asked("refused")]).toEqual([4, 1]);
  expect(await sidecar.metric("vespid_adapter_cache_hits_total")).toBe(2);
});

test("what is not defined, and a server that is not there, follow the failure policy", async () => {
  await using sidecar = await startAdapted({
    folder,
    clusters: { opa: opa.port, gone: freePort() },
    adapters: [
      { name: "undefined", backend: backend("opa", "/v1/data/mesh/nothing") },
      { name: "gone", backend: backend("gone", "/v1/data/mesh/allow") },
      { name: "lenient", backend: backend("gone", "/v1/data/mesh/allow"), failurePolicy: "open" },
    ],
    rules: ["undefined", "gone", "lenient"].map((name) => ({
      name,
      match: `request.path == "/${name}"`,
      actions: [{ adapter: name }],
    })),
  });
  const statuses = await Promise.all(
    ["undefined", "gone", "lenient"].map(async (name) => (await sidecar.get(`/${name}`)).status),
  );
  expect(statuses).toEqual([503, 503, 200]);
  await sidecar.proxy.program.printed(/the document \/v1\/data\/mesh\/nothing is not defined/u);
});
