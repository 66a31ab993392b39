// Versions of filters: deployed for a share or beside, promoted, rolled back, and how they do.
import { Hono, type Context } from "hono";
import { z } from "zod";
import { parseWith } from "../../runtime/contract/problem.ts";
import { Candidate } from "../resource/filter.ts";
import { Name, Namespace, type ResourceKey } from "../resource/resource.ts";
import { promoted, rolledBack, withCandidate, withLive } from "../rollout/change.ts";
import type { FilterVersions, Refused, Rollouts } from "../rollout/rollouts.ts";
import { meanOf, quantileOf, type TrialState } from "../rollout/trial.ts";
import { renderProblemReply } from "./problem.ts";
import { denied } from "./resources.ts";

/** Body of `deploy`: without `mode` and `percent` the version is live at once. */
export const Deploy = z.strictObject({
  ...Candidate.shape,
  /** Needed, but where another configuration of the live version is tried. */
  bundle: Candidate.shape.bundle,
  mode: Candidate.shape.mode.unwrap().optional(),
  percent: Candidate.shape.percent.unwrap().optional(),
});
export const Rollback = z.strictObject({
  /** Version to go back to: a digest, or how it begins. Default: the candidate goes, else the version before. */
  to: z.string().min(1).max(128).optional(),
});

/** How one version did in a trial. */
const Figures = z.object({
  runs: z.int(),
  failed: z.int(),
  meanMs: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
});
/** What `versions` answers, and every change. */
export const Versions = z.object({
  filter: z.string(),
  live: z.object({ version: z.string(), config: z.record(z.string(), z.unknown()) }),
  /** Why the filter is as it is: what was done last, and by itself or not. */
  cause: z.string().optional(),
  candidate: z
    .object({
      version: z.string(),
      mode: z.string(),
      percent: z.number(),
      by: z.string(),
      rollback: Candidate.shape.rollback,
    })
    .optional(),
  trial: z
    .object({
      proxies: z.int(),
      live: Figures,
      candidate: Figures,
      compared: z.int(),
      differed: z.int(),
      skipped: z.int(),
      stopped: z.array(z.object({ proxy: z.string(), reason: z.string() })),
    })
    .optional(),
  history: z.array(z.object({ version: z.string(), revision: z.int(), at: z.string(), cause: z.string().optional() })),
});

/** Routes below `/v1`. */
export function filterRoutes({ rollouts }: { readonly rollouts: Rollouts }): Hono {
  const app = new Hono();
  const at = "/filters/:namespace/:name";

  app.get(`${at}/versions`, (c) => {
    const key = filterKeyOf(c);
    return key instanceof Response ? key : show(c, rollouts, key);
  });
  app.get(`${at}/differences`, (c) => {
    const key = filterKeyOf(c);
    return key instanceof Response ? key : c.json({ items: rollouts.differences(key) });
  });
  app.post(`${at}/deploy`, async (c) => {
    const key = filterKeyOf(c);
    if (key instanceof Response) return key;
    const written = await readJson(c);
    const body = parseWith(Deploy, written);
    if (!body.ok) return renderProblemReply(422, { problems: body.problems });
    const { bundle, config, mode, percent = 100 } = body.value;
    const isLive = mode === undefined && body.value.percent === undefined;
    if (isLive && bundle === undefined) {
      const message = "is required; only a candidate may be another configuration of the live version";
      return renderProblemReply(422, { problems: [{ path: "bundle", message }] });
    }
    return change(c, rollouts, key, (document) => {
      if (isLive && bundle !== undefined) {
        return { ok: true, value: withLive(document, { bundle, config }, `deployed ${bundle}`) };
      }
      const cause = `deployed ${bundle ?? "another config"} ${mode === "shadow" ? "as a shadow" : `for ${percent}%`}`;
      return { ok: true, value: withCandidate(document, written, cause) };
    });
  });
  app.post(`${at}/promote`, (c) => {
    const key = filterKeyOf(c);
    return key instanceof Response ? key : change(c, rollouts, key, promoted);
  });
  app.post(`${at}/rollback`, async (c) => {
    const key = filterKeyOf(c);
    if (key instanceof Response) return key;
    const body = parseWith(Rollback, (await readJson(c)) ?? {});
    if (!body.ok) return renderProblemReply(422, { problems: body.problems });
    return change(c, rollouts, key, (document, history) => rolledBack(document, history, body.value.to));
  });
  return app;
}

function change(c: Context, rollouts: Rollouts, key: ResourceKey, make: Parameters<Rollouts["change"]>[1]): Response {
  const changed = rollouts.change(key, make);
  return changed.ok ? show(c, rollouts, key) : refused(changed.error, key);
}

function refused(refusal: Refused, key: ResourceKey): Response {
  switch (refusal.kind) {
    case "missing":
      return noFilter(key);
    case "impossible":
      return renderProblemReply(409, { detail: `Filter ${key.namespace}/${key.name}: ${refusal.reason}` });
    case "invalid":
    case "refused":
      return denied(refusal);
  }
}

function show(c: Context, rollouts: Rollouts, key: ResourceKey): Response {
  const versions = rollouts.versions(key);
  return versions === undefined ? noFilter(key) : c.json(renderVersions(key, versions));
}

function renderVersions(
  key: ResourceKey,
  { history, candidate, trial, cause }: FilterVersions,
): z.input<typeof Versions> {
  const [live] = history;
  return {
    filter: `${key.namespace}/${key.name}`,
    live: { version: live?.version ?? "", config: { ...live?.config } },
    ...(cause === undefined ? {} : { cause }),
    ...(candidate === undefined ? {} : { candidate: renderCandidate(candidate) }),
    ...(trial === undefined ? {} : { trial: renderTrial(trial) }),
    history: history.map(({ version, revision, atMs, cause: why }) => ({
      version,
      revision,
      at: new Date(atMs).toISOString(),
      ...(why === undefined ? {} : { cause: why }),
    })),
  };
}

function renderCandidate({ name, spec }: NonNullable<FilterVersions["candidate"]>) {
  const { mode, percent, by, rollback } = spec;
  return {
    version: name,
    mode,
    percent,
    by,
    rollback: {
      failureRate: rollback.failureRate,
      calls: rollback.calls,
      window: `${rollback.window}ms`,
      ...(rollback.latency === undefined ? {} : { latency: `${rollback.latency}ms` }),
      ...(rollback.latencyRatio === undefined ? {} : { latencyRatio: rollback.latencyRatio }),
    },
  };
}

function renderTrial({ proxies, total, compared, differed, skipped, stopped }: TrialState) {
  return {
    proxies: proxies.size,
    live: renderFigures(total.live),
    candidate: renderFigures(total.candidate),
    compared,
    differed,
    skipped,
    stopped: [...stopped].map(([proxy, reason]) => ({ proxy, reason })),
  };
}

function renderFigures(counts: TrialState["total"]["live"]): z.infer<typeof Figures> {
  const { runs, failed } = counts;
  return { runs, failed, meanMs: meanOf(counts), p50Ms: quantileOf(counts, 0.5), p99Ms: quantileOf(counts, 0.99) };
}

/** The filter that an address names, or the reply that says why it names none. */
export function filterKeyOf(c: Context): ResourceKey | Response {
  const parsed = parseWith(z.object({ namespace: Namespace, name: Name }), c.req.param());
  return parsed.ok ? { kind: "Filter", ...parsed.value } : renderProblemReply(404, { problems: parsed.problems });
}

function noFilter({ namespace, name }: ResourceKey): Response {
  return renderProblemReply(404, { detail: `there is no Filter ${namespace}/${name}; apply one first` });
}

/** The body; what is not JSON is left as text, for the schema to refuse. */
export async function readJson(c: Context): Promise<unknown> {
  const text = await c.req.text();
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    // Refused by the schema, which says what it must be.
    return text;
  }
}
