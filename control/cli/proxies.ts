// `vespid proxies`: who runs what, and what was refused and why.
import { z } from "zod";
import { renderProblem } from "../../runtime/contract/problem.ts";
import type { Printed } from "./apply.ts";
import { ask, type Target } from "./client.ts";
import { renderAge, renderTable } from "./table.ts";

const problems = z.array(z.object({ path: z.string(), message: z.string() }));
const Proxies = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      service: z.string(),
      namespace: z.string(),
      status: z.string(),
      version: z.string().optional(),
      wanted: z.string().optional(),
      refused: z.object({ version: z.string(), problems, attempts: z.number() }).optional(),
      problems,
      connectedAt: z.string(),
    }),
  ),
});

/** The connected proxies. */
export async function proxies(target: Target, nowMs: number): Promise<Printed> {
  const json = await ask(target, Proxies, { method: "GET", path: "/v1/proxies" });
  if (json.items.length === 0) return { json, lines: [], notes: ["no proxy is connected"] };
  const rows = json.items.map(({ id, service, namespace, status, version = "-", wanted = "-", connectedAt }) => {
    return [id, `${namespace}/${service}`, status, version, wanted, renderAge(Date.parse(connectedAt), nowMs)];
  });
  const why = json.items.flatMap(({ id, refused, problems: own }) => [
    ...(refused?.problems ?? []).map((problem) => `${id} refused ${refused?.version}: ${renderProblem(problem)}`),
    ...own.map((problem) => `${id} cannot be sent a snapshot: ${renderProblem(problem)}`),
  ]);
  return {
    json,
    lines: [renderTable(["PROXY", "SERVICE", "STATUS", "RUNS", "WANTED", "FOR"], rows), ...why],
    notes: [],
  };
}
