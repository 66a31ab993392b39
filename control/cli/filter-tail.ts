// `vespid filter tail` and `vespid filter record`: what a filter does in all proxies, as it does it.
import { InvalidArgumentError, Option, type Command } from "commander";
import { z } from "zod";
import { Recorded } from "../../runtime/contract/recording.ts";
import { TapEvent } from "../../runtime/contract/tap.ts";
import { visibleLine } from "../../runtime/contract/visible.ts";
import { readEvents, type StreamEvent } from "./event-stream.ts";
import { CommandFailure, EXIT } from "./failure.ts";
import { filterPath, filterSubcommand, targetOf, type FilterFlags } from "./filter-target.ts";

interface TailFlags extends FilterFlags {
  readonly sample?: number;
  readonly status?: string;
  readonly level?: string;
}

interface RecordFlags extends FilterFlags {
  readonly output: string;
  readonly sample?: number;
  readonly status?: string;
  readonly max: number;
  readonly redact?: readonly string[];
  readonly bodyMaxBytes?: number;
  readonly bodies?: string;
}

const Seen = z.object({ proxy: z.string() }).and(TapEvent);
type Seen = z.infer<typeof Seen>;
const Dropped = z.object({ dropped: z.number() });

/** Adds both to `vespid filter`. */
export function addTailCommands(filter: Command): void {
  filterSubcommand(filter, "tail <name>", "show what a filter logs and decides in all proxies, until it is interrupted")
    .option("--status <status>", "only of exchanges that were answered so: 5xx, 404")
    .option("--sample <share>", "only this share of the exchanges, 0 to 1", parseShare)
    .addOption(
      new Option("--level <level>", "least severe line that is shown").choices(["debug", "info", "warn", "error"]),
    )
    .addHelpText(
      "after",
      "\nA call is shown when its exchange is over. With --sample or --status, lines that a filter writes after it has waited are\nleft out: nobody knows then whose they are.",
    )
    .action(tail);

  filterSubcommand(filter, "record <name>", "keep exchanges as a filter sees them, for vespid filter replay")
    .requiredOption("-o, --output <file>", "JSON lines, one for each exchange")
    .option("--max <count>", "ends after so many exchanges", parseCount, 100)
    .option("--sample <share>", "only this share of the exchanges, 0 to 1", parseShare)
    .option("--status <status>", "only exchanges that were answered so: 5xx, 404")
    .option("--redact <name...>", "more names of fields, parameters and members whose values are left out")
    .addOption(
      new Option("--bodies <which>", "known: JSON and forms, where values can be left out by name").choices([
        "none",
        "known",
        "all",
      ]),
    )
    .option("--body-max-bytes <count>", "longer bodies are left out (default: 16384)", parseCount)
    .addHelpText(
      "after",
      "\nThe proxies leave out what carries credentials before anything is told: authorization, cookie, set-cookie, x-api-key, …,\nand members and parameters called password, token, secret, …",
    )
    .action(record);
}

async function tail(name: string, flags: TailFlags): Promise<void> {
  const { sample, status, level } = flags;
  const path = filterPath(flags.namespace, name, "tail");
  for await (const event of readEvents(targetOf(flags), path, { sample, status, level }, untilInterrupted())) {
    const lines = flags.json === true ? [JSON.stringify(event.data)] : renderEvent(event).map(visibleLine);
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  }
}

async function record(name: string, flags: RecordFlags): Promise<void> {
  const { sample, status, redact, bodyMaxBytes, bodies, output, max } = flags;
  const path = filterPath(flags.namespace, name, "record");
  const wanted = { sample, status, redact, bodyMaxBytes, bodies };
  const file = Bun.file(output).writer();
  let count = 0;
  let dropped = 0;
  try {
    for await (const event of readEvents(targetOf(flags), path, wanted, untilInterrupted())) {
      const lost = event.name === "dropped" ? Dropped.safeParse(event.data) : undefined;
      if (lost?.success === true) dropped += lost.data.dropped;
      const seen = z.object({ exchange: Recorded }).safeParse(event.data);
      if (!seen.success) continue;
      await file.write(`${JSON.stringify(seen.data.exchange)}\n`);
      await file.flush();
      count++;
      if (count >= max) break;
    }
  } finally {
    await file.end();
  }
  if (count === 0) throw new CommandFailure(EXIT.refused, [`no exchange was recorded: ${output} is empty`]);
  if (flags.json === true) process.stdout.write(`${JSON.stringify({ output, count, dropped })}\n`);
  else
    process.stderr.write(
      `recorded ${count} exchanges in ${output}${dropped === 0 ? "" : `, ${dropped} were dropped`}\n`,
    );
}

/** Ends with the first Ctrl-C, in good order. */
function untilInterrupted(): AbortSignal {
  const controller = new AbortController();
  process.once("SIGINT", () => controller.abort());
  process.once("SIGTERM", () => controller.abort());
  return controller.signal;
}

/** Lines of one event, for people. */
export function renderEvent({ name, data }: StreamEvent): readonly string[] {
  if (name === "dropped") {
    const lost = Dropped.safeParse(data);
    return [`… ${lost.data?.dropped ?? "some"} events were dropped: more than can be told`];
  }
  const seen = Seen.safeParse(data);
  return seen.success ? renderSeen(seen.data) : [];
}

function renderSeen(event: Seen): readonly string[] {
  if (event.kind === "exchange") return [];
  const head = `${new Date(event.atMs).toISOString()} ${event.proxy}`;
  if (event.kind === "log") {
    const { level, message, fields, requestId } = event;
    const more = Object.keys(fields).length === 0 ? "" : ` ${JSON.stringify(fields)}`;
    return [`${head} ${level.toUpperCase()} ${message}${more}${requestId === undefined ? "" : ` (${requestId})`}`];
  }
  const { method, path, phase, verdict, replyStatus, version, tookMs, fuel, status, requestId, reason } = event;
  const decided = replyStatus === undefined ? verdict : `${verdict} ${replyStatus}`;
  const cost = `${Number(tookMs.toPrecision(2))} ms${fuel === 0 ? "" : `, fuel ${fuel}`}`;
  const who = version === "candidate" ? " candidate" : "";
  const [first, ...stack] = (reason ?? "").split("\n");
  return [
    `${head} ${status} ${method} ${path} ${phase}${who}: ${decided}${first === "" ? "" : `: ${first}`} (${cost}) ${requestId}`,
    ...stack.map((line) => `    ${line.trim()}`),
  ];
}

function parseShare(text: string): number {
  const share = Number(text);
  if (text.trim() !== "" && share >= 0 && share <= 1) return share;
  throw new InvalidArgumentError(`${JSON.stringify(text)} is not a share such as 0.1`);
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0) return count;
  throw new InvalidArgumentError(`${JSON.stringify(text)} is not a count`);
}
