// `filter replay`: a recording run through a version of a filter, beside what was decided then or what another version decides.
import { Option, type Command } from "commander";
import { visibleLines } from "../../runtime/contract/visible.ts";
import type { SeenVerdict } from "../../runtime/contract/trial.ts";
import type { Replayed } from "../dev/replay.ts";
import { EXIT, fail, tell, type JsonOption } from "./terminal.ts";

interface ReplayFlags extends JsonOption {
  readonly filter: string;
  readonly against?: string;
  readonly native?: boolean;
  readonly config?: string;
  readonly set?: readonly string[];
  readonly control: string;
}

/** Adds the command. */
export function addReplay(filter: Command): void {
  filter
    .command("replay")
    .argument("<file>", "what vespid filter record wrote")
    .requiredOption("--filter <version>", "a filter's file or folder, an artifact, or a digest that control has")
    .option("--against <version>", "compare with this version (default: with what was decided then)")
    .option("--native", "run source in this process, not in the sandbox")
    .option("--config <file>", "the filter's configuration, YAML or JSON")
    .option("--set <path=value...>", "one value of the configuration, such as realm.name=staff")
    .addOption(
      new Option("--control <url>", "where control is").env("VESPID_CONTROL").default("http://127.0.0.1:15010"),
    )
    .option("--json", "print each exchange as a line of JSON")
    .addHelpText(
      "after",
      `
Prints what the version decides about each exchange, and how that differs. Ends with 0 where nothing differs, with 1 where
something does. Calls to upstreams fail, the clock shows when the exchange was recorded, and what was left out of the recording
reads "[redacted]", or is an empty body.`,
    )
    .description("run a version of a filter over recorded exchanges, and compare what it decides")
    .action(runReplay);
}

async function runReplay(path: string, flags: ReplayFlags): Promise<void> {
  if (!(await Bun.file(path).exists())) return fail([{ path, message: "is not there" }], flags, EXIT.usage);
  // Loaded here: no other command needs an engine.
  const [replays, { loadVersion }, { readConfig }] = await Promise.all([
    import("../dev/replay.ts"),
    import("../dev/replay-version.ts"),
    import("../dev/settings.ts"),
  ]);
  const recording = replays.parseRecording(await Bun.file(path).text());
  if (!recording.ok) return fail(recording.problems, flags);
  const config = await readConfig(flags.config, flags.set ?? []);
  if (!config.ok) return fail(config.problems, flags);
  const clock = new replays.ReplayClock();
  const options = { config: config.value, clock, isNative: flags.native === true, control: flags.control };
  const version = await loadVersion(flags.filter, options);
  if (!version.ok) return fail(version.problems, flags);
  const other = flags.against === undefined ? undefined : await loadVersion(flags.against, options);
  if (other?.ok === false) {
    await version.value.stop();
    return fail(other.problems, flags);
  }
  let differed = 0;
  for (const recorded of recording.value) {
    // One after the other: a filter may keep state from one to the next.
    const before =
      other === undefined
        ? replays.recordedVerdicts(recorded)
        : await replays.replayExchange(other.value.filter, recorded, clock);
    const now = await replays.replayExchange(version.value.filter, recorded, clock);
    const differences = replays.compareReplays(before, now);
    if (differences.length > 0) differed++;
    const { method, path: target } = recorded.request;
    const requestId = recorded.attributes["request.id"] ?? "";
    if (flags.json === true) {
      process.stdout.write(`${JSON.stringify({ requestId, method, path: target, decided: now, differences })}\n`);
      continue;
    }
    const lines = now.map((one) => `${method} ${target} ${renderReplayed(one, version.value.explain)}`);
    for (const { phase, before: was, now: is } of differences) {
      lines.push(`  ${phase} differs:`, ...renderSide("-", was), ...renderSide("+", is));
    }
    process.stdout.write(lines.map((line) => `${visibleLines(line)}\n`).join(""));
  }
  await version.value.stop();
  await other?.value.stop();
  tell(`${recording.value.length} exchanges, ${differed} differ`);
  if (differed > 0) process.exitCode = EXIT.failed;
  return undefined;
}

function renderReplayed({ phase, seen, tookMs, fuel }: Replayed, explain: (message: string) => string): string {
  const why = seen.reason === undefined ? "" : `: ${explain(seen.reason)}`;
  const cost = `${Number(tookMs.toPrecision(2))} ms${fuel === 0 ? "" : `, fuel ${fuel}`}`;
  return `${phase}: ${renderDecision(seen)}${why} (${cost})`;
}

function renderSide(sign: string, seen: SeenVerdict): readonly string[] {
  return [
    `    ${sign} ${renderDecision(seen)}`,
    ...seen.edits.map(({ kind, name, value }) => `    ${sign} ${kind} ${name}${kind === "remove" ? "" : `: ${value}`}`),
  ];
}

function renderDecision({ verdict, status, body }: SeenVerdict): string {
  return [
    verdict,
    ...(status === undefined ? [] : [String(status)]),
    ...(body === "kept" ? [] : [`body ${body}`]),
  ].join(" ");
}
