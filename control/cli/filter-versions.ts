// `vespid filter deploy`, `promote`, `rollback`, `versions` and `diff`.
import { InvalidArgumentError, Option, type Command } from "commander";
import { z } from "zod";
import { readArtifact } from "../../sdk/build/command.ts";
import { pushArtifact } from "../../sdk/build/push.ts";
import { renderProblem } from "../../runtime/contract/problem.ts";
import type { Printed } from "./apply.ts";
import { ask, type Target } from "./client.ts";
import { CommandFailure, EXIT } from "./failure.ts";
import { filterPath, filterSubcommand, targetOf, type FilterFlags, type Print } from "./filter-target.ts";
import { renderDifference, type ShownDifference } from "./filter-differences.ts";
import { renderAge, renderTable } from "./table.ts";

const Figures = z.object({
  runs: z.number(),
  failed: z.number(),
  meanMs: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
});
const Versions = z.object({
  filter: z.string(),
  live: z.object({ version: z.string() }),
  cause: z.string().optional(),
  candidate: z
    .object({ version: z.string(), mode: z.string(), percent: z.number(), by: z.string(), rollback: z.unknown() })
    .optional(),
  trial: z
    .object({
      proxies: z.number(),
      live: Figures,
      candidate: Figures,
      compared: z.number(),
      differed: z.number(),
      skipped: z.number(),
      stopped: z.array(z.object({ proxy: z.string(), reason: z.string() })),
    })
    .optional(),
  history: z.array(
    z.object({ version: z.string(), revision: z.number(), at: z.string(), cause: z.string().optional() }),
  ),
});
type Versions = z.infer<typeof Versions>;
const Differences = z.object({
  items: z.array(
    z.looseObject({
      proxy: z.string(),
      atMs: z.number(),
      requestId: z.string(),
      phase: z.string(),
      method: z.string(),
      path: z.string(),
      live: z.custom<ShownDifference["live"]>(),
      candidate: z.custom<ShownDifference["candidate"]>(),
    }),
  ),
});
const Bundles = z.object({ items: z.array(z.object({ digest: z.string() })) });

interface DeployFlags extends FilterFlags {
  readonly bundle?: string;
  readonly config?: unknown;
  readonly percent?: number;
  readonly shadow?: boolean;
  readonly by?: string;
  readonly fetches?: boolean;
  readonly failureRate?: number;
  readonly latency?: string;
  readonly latencyRatio?: number;
  readonly calls?: number;
  readonly window?: string;
  /** False by `--no-check`. */
  readonly check: boolean;
}

/** Adds the commands to `vespid filter`. */
export function addVersionCommands(filter: Command, print: Print): void {
  filterSubcommand(filter, "deploy <name>", "put a version of a Filter live, or on trial with --percent or --shadow")
    .option(
      "--bundle <version>",
      "a pushed bundle's digest or how it begins, a filter's file or folder, or an artifact",
    )
    .option("--config <json>", "its configuration (default: the live version's)", parseJson)
    .option("--percent <share>", "decides for this share of the requests alone", parseNumber)
    .option("--shadow", "looks on and is compared; nothing of it is applied")
    .option(
      "--by <key>",
      "requests alike in it meet the same version: request.id, source.ip, source.principal, a header",
    )
    .option("--fetches", "let a shadow call its upstreams")
    .option("--failure-rate <rate>", "roll back above this part of calls failing (default: 0.05)", parseNumber)
    .option("--latency <span>", "roll back when the 99th percentile of calls is above it, such as 20ms")
    .option(
      "--latency-ratio <times>",
      "roll back when calls take so many times as long as the live version's",
      parseNumber,
    )
    .option("--calls <count>", "calls before anything is said of it (default: 20)", parseNumber)
    .option("--window <span>", "span of calls that is looked at (default: 1m)")
    .option("--no-check", "do not check the types of a filter that is built")
    .addHelpText("after", DEPLOY_HELP)
    .action(async (name: string, flags: DeployFlags) => print(await deploy(name, flags), flags));

  filterSubcommand(filter, "promote <name>", "put the candidate in the live version's place").action(
    async (name: string, flags: FilterFlags) => print(await change(name, "promote", {}, flags), flags),
  );

  filterSubcommand(filter, "rollback <name>", "let the candidate go; without one, bring back the version before")
    .addOption(new Option("--to <version>", "a version that was live: its digest, or how it begins"))
    .action(async (name: string, flags: FilterFlags & { readonly to?: string }) =>
      print(await change(name, "rollback", flags.to === undefined ? {} : { to: flags.to }, flags), flags),
    );

  filterSubcommand(
    filter,
    "versions <name>",
    "show what is live, what is on trial and how it does, and what was before",
  ).action(async (name: string, flags: FilterFlags) => {
    const path = filterPath(flags.namespace, name, "versions");
    print(printVersions(await ask(targetOf(flags), Versions, { method: "GET", path })), flags);
  });

  filterSubcommand(filter, "diff <name>", "list where the shadow decided otherwise than the live version").action(
    async (name: string, flags: FilterFlags) => print(await diff(name, flags), flags),
  );
}

const DEPLOY_HELP = `
Without --percent and --shadow the version is live at once. A candidate that fails leaves its requests to the live version,
and is rolled back by itself above the bounds: "vespid filter versions NAME" says why.

Examples:
  vespid filter deploy stamp --bundle sha256:3f2a --percent 5 --by x-user
  vespid filter deploy stamp --bundle filters/stamp --shadow
  vespid filter promote stamp`;

async function deploy(name: string, flags: DeployFlags): Promise<Printed> {
  const { bundle, config, percent, shadow, by, fetches } = flags;
  if (bundle === undefined && config === undefined) {
    throw new CommandFailure(EXIT.usage, [
      "say which version: --bundle DIGEST|PATH, or --config JSON for another configuration",
    ]);
  }
  const target = targetOf(flags);
  const digest = bundle === undefined ? undefined : await findBundle(bundle, target, flags.check);
  const { failureRate, latency, latencyRatio, calls, window } = flags;
  const rollback = { failureRate, latency, latencyRatio, calls, window };
  const isTrial = percent !== undefined || shadow === true;
  const bounds = Object.values(rollback).some((bound) => bound !== undefined) ? { rollback } : {};
  const mode = shadow === true ? "shadow" : isTrial ? "canary" : undefined;
  return change(name, "deploy", { bundle: digest, config, percent, mode, by, fetches, ...bounds }, flags);
}

/** A digest, whole or as it begins, of what control has; else something to build and push. */
async function findBundle(text: string, target: Target, checksTypes: boolean): Promise<string> {
  if (/^sha256:[0-9a-f]{64}$/u.test(text)) return text;
  if (/^(?:sha256:)?[0-9a-f]{6,}$/u.test(text) && !(await Bun.file(text).exists())) {
    const { items } = await ask(target, Bundles, { method: "GET", path: "/v1/bundles" });
    const prefix = text.startsWith("sha256:") ? text : `sha256:${text}`;
    const found = items.filter(({ digest }) => digest.startsWith(prefix));
    const [only] = found;
    if (only !== undefined && found.length === 1) return only.digest;
    const why = found.length === 0 ? "no bundle that was pushed begins so" : `${found.length} bundles begin so`;
    throw new CommandFailure(EXIT.refused, [`--bundle ${text}: ${why}; "vespid get bundles" lists them`]);
  }
  const artifact = await readArtifact(text, { check: checksTypes });
  if (!artifact.ok) throw new CommandFailure(EXIT.refused, artifact.problems.map(renderProblem));
  const pushed = await pushArtifact(artifact.value, { control: target.control, token: target.token ?? "" });
  if (pushed.ok) return pushed.value.digest;
  const isUnauthorized = pushed.problems.some(({ path }) => path === "--token");
  throw new CommandFailure(isUnauthorized ? EXIT.unauthorized : EXIT.refused, pushed.problems.map(renderProblem));
}

async function change(name: string, what: string, body: unknown, flags: FilterFlags): Promise<Printed> {
  const path = filterPath(flags.namespace, name, what);
  return printVersions(await ask(targetOf(flags), Versions, { method: "POST", path, body }));
}

async function diff(name: string, flags: FilterFlags): Promise<Printed> {
  const path = filterPath(flags.namespace, name, "differences");
  const json = await ask(targetOf(flags), Differences, { method: "GET", path });
  const lines = json.items.toReversed().flatMap((difference) => renderDifference(difference));
  return { json, lines, notes: lines.length === 0 ? ["no difference was told"] : [] };
}

function printVersions(json: Versions): Printed {
  const { filter, live, candidate, trial, cause, history } = json;
  const lines = [`${filter}: live ${shorten(live.version)}`];
  if (candidate !== undefined) {
    const { version, mode, percent, by } = candidate;
    const share = percent === 100 ? "" : `, ${percent}% by ${by}`;
    lines.push(`  candidate ${shorten(version)}: ${mode}${share}`);
  }
  if (trial !== undefined) lines.push(...renderTrial(trial));
  if (cause !== undefined) lines.push(`  last: ${cause}`);
  const rows = history.map(({ version, revision, at, cause: why = "" }) => [
    shorten(version),
    String(revision),
    renderAge(Date.parse(at), Date.now()),
    why,
  ]);
  return { json, lines: [...lines, renderTable(["VERSION", "REVISION", "AGE", "WHY"], rows)], notes: [] };
}

function renderTrial({
  proxies,
  live,
  candidate,
  compared,
  differed,
  skipped,
  stopped,
}: NonNullable<Versions["trial"]>) {
  const rows = [
    ["live", live],
    ["candidate", candidate],
  ] as const;
  const table = renderTable(
    ["  ", "CALLS", "FAILED", "MEAN", "P50", "P99"],
    rows.map(([who, { runs, failed, meanMs, p50Ms, p99Ms }]) => [
      `  ${who}`,
      String(runs),
      String(failed),
      renderSpan(meanMs),
      renderSpan(p50Ms),
      renderSpan(p99Ms),
    ]),
  );
  const shadow = compared + skipped === 0 ? [] : [`  compared ${compared}, differed ${differed}, skipped ${skipped}`];
  const words = stopped.map(({ proxy, reason }) => `  ${proxy} stopped it: ${reason}`);
  return [`  told by ${proxies} ${proxies === 1 ? "proxy" : "proxies"}`, table, ...shadow, ...words];
}

function renderSpan(ms: number): string {
  return `${Number(ms.toPrecision(2))} ms`;
}

/** A digest as people tell digests apart. */
function shorten(version: string): string {
  return version.replaceAll(/sha256:([0-9a-f]{12})[0-9a-f]{52}/gu, "sha256:$1");
}

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InvalidArgumentError(`${JSON.stringify(text)} is not a number`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not JSON such as '{"realm":"x"}'`);
  }
}
