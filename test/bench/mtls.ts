// What does a request cost on its whole path through two sidecars with mTLS between them, beside two Envoys?
import { makeCertificates } from "../harness/certificates.ts";
import { startEnvoy } from "../harness/envoy.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { contenderOfPeer, place, renderCosts, renderRatio, runContest, type Contender } from "./contest.ts";
import { runWrk, TEN_HEADERS } from "./load.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";
import { contenderOf, startSidecar } from "./sidecar.ts";

export const question = "What does a request cost through two sidecars with mTLS between them, beside two Envoys?";
export const parts: readonly string[] = ["own-core", "saturated"];

const REPLY_BODY = "x".repeat(100);
const ENVOY = { limit: 0.5, want: 0.4 };
const SERVER_NAME = "spiffe://cluster.local/ns/default/sa/server";

/** HTTP/1.1 on every hop; the cost is that of both proxies, which share a core. */
export async function run({ isQuick, hasPart, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const { authority, server, client } = await makeCertificates(folder);
  const upstream = programs.use(await startNginxUpstream({ folder, body: REPLY_BODY }));

  const identityOf = ({ certificate, key }: typeof server) => ({
    certificateChain: certificate,
    privateKey: key,
    rootCertificates: authority,
  });
  const vespidServer = programs.use(
    await startSidecar({
      folder,
      name: "server",
      applicationPort: upstream.port,
      snapshot: () => ({ identity: identityOf(server), inbound: { tls: { mode: "STRICT" } } }),
    }),
  );
  const cluster = {
    name: "server",
    endpoints: [{ address: "127.0.0.1", port: vespidServer.inboundPort }],
    tls: { mode: "ISTIO_MUTUAL", subjectAltNames: [SERVER_NAME] },
  };
  const vespidClient = programs.use(
    await startSidecar({
      folder,
      name: "client",
      snapshot: () => ({
        identity: identityOf(client),
        outbound: {
          virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: cluster.name }] }] }],
        },
        clusters: [cluster],
      }),
    }),
  );
  const envoyServer = programs.use(
    await startEnvoy({
      folder,
      name: "envoy-server",
      upstreamPort: upstream.port,
      downstreamTls: { own: server, authority },
    }),
  );
  const envoyClient = programs.use(
    await startEnvoy({
      folder,
      name: "envoy",
      upstreamPort: envoyServer.port,
      upstreamTls: { own: client, authority },
    }),
  );
  const contenders = [contenderOf(vespidClient, vespidServer), contenderOfPeer(envoyClient, envoyServer)];
  const rows: BenchRow[] = [];
  for (const [part, placement] of [
    ["own-core", "apart"],
    ["saturated", "together"],
  ] as const) {
    if (!hasPart(part)) continue;
    const core = await place(placement, contenders, upstream.program.pid);
    const durationMs = isQuick ? 1000 : 3000;
    const lap = ({ port }: Contender) =>
      runWrk({ folder, headers: TEN_HEADERS, connections: 32, durationMs, port, core });
    const standings = await runContest({
      contenders,
      label: part,
      rounds: isQuick ? 1 : 5,
      warmUp: lap,
      lap,
      progress,
    });
    rows.push(...renderCosts(part, standings), renderRatio(part, standings, "envoy", ENVOY));
  }
  return { name: "mtls", question, rows };
}
