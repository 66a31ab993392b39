// The dashboard of filters: every panel has something to show of a mesh in which everything happens that it tells of.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { z } from "zod";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { startControl, type RunningControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startPrometheus } from "../harness/prometheus.ts";
import { ROOT, startProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

const Dashboard = z.object({
  templating: z.object({ list: z.array(z.object({ name: z.string() })) }),
  panels: z.array(
    z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })) }),
  ),
});

/** Throws on some requests; its second version does not. */
const SOURCE = (body: string): string => `import { defineFilter } from "vespid";
export default defineFilter({ name: "moody", stage: "transform", reads: [":path"], request(request) { ${body} } });
`;

async function push(control: RunningControl, folder: TempFolder, name: string, body: string): Promise<string> {
  const file = folder.file(`${name}/filter.ts`);
  await Bun.write(file, SOURCE(body));
  const built = await buildFilterFile(file);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  return control.push(built.value.artifact);
}

function filterUse(name: string, spec: object): string {
  return JSON.stringify({ apiVersion: "vespid.dev/v1", kind: "Filter", metadata: { name }, spec });
}

test("every panel of the filters' dashboard shows what happens", async () => {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "hello" });
  await using control = await startControl({ cwd: folder.path });
  await using proxy = await startProxy({
    service: "app",
    applicationPort: upstream.port,
    control: control.url,
    cwd: folder.path,
    accessLog: "off",
  });
  const moody = await push(control, folder, "moody", `if (request.path === "/bad") throw new Error("not today");`);
  const calm = await push(control, folder, "calm", `if (request.path === "/none") throw new Error("never");`);
  const uses = [
    filterUse("moody", { bundle: moody, failurePolicy: "open", candidate: { bundle: calm, percent: 50 } }),
    filterUse("callers", { builtin: "ip-list", config: { allow: ["127.0.0.1"] } }),
  ];
  await control.rollOut(() => control.apply(uses.join("\n---\n")));
  await using prometheus = await startPrometheus(folder, [Number(new URL(proxy.admin).port)]);

  const { panels, templating } = Dashboard.parse(await Bun.file(join(ROOT, "docs/grafana/filters.json")).json());
  const { list } = templating;
  expect(list.map(({ name }) => name)).toEqual(["datasource", "filter"]);
  let sent = 0;
  for (const { title, targets } of panels) {
    expect(targets.length).toBeGreaterThan(0);
    for (const { expr, legendFormat } of targets) {
      // What Grafana puts in the place of its variables.
      const expression = expr.replaceAll("$filter", ".+").replaceAll("$__rate_interval", "5s");
      expect(expression).not.toContain("$");
      const shown = await until(
        `panel "${title}" to show something`,
        async () => {
          const path = sent++ % 10 === 0 ? "/bad" : "/";
          await (await fetch(`http://127.0.0.1:${proxy.inboundPort}${path}`)).text();
          const series = (await prometheus.query(expression)).filter(({ value }) => Number.isFinite(value));
          return series.length > 0 ? series : undefined;
        },
        30_000,
      );
      // The legend names labels that the series have.
      const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/gu)].map(([, label]) => label);
      expect(named.length).toBeGreaterThan(0);
      for (const { labels } of shown) expect(Object.keys(labels)).toEqual(expect.arrayContaining(named));
    }
  }
});
