// What a proxy is told when it starts: flags over environment over file over defaults. Every mistake is reported at once.
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { z } from "zod";
import { durationMs } from "./contract/duration.ts";
import { countCpus } from "./cpus.ts";
import { parseWith, type Parsed, type Problem } from "./contract/problem.ts";
import type { Application } from "./generation.ts";

const port = z
  .union([z.string(), z.number()])
  .refine((value) => /^\d{1,5}$/u.test(String(value)) && Number(value) <= 65_535, {
    error: (issue) => `${JSON.stringify(issue.input)} is not a port, 0 to 65535`,
  })
  .transform(Number);

/** One or several: a file may name one without brackets. */
const outbound = z.preprocess(
  (value) => (Array.isArray(value) || value === undefined ? value : [value]),
  z.array(port).max(100).default([]),
);

const inbound = z.string().transform((text, context): Application => {
  const parts = /^(\d{1,5}):(\[[0-9A-Fa-f:.]+\]|[^:\s]+):(\d{1,5})$/u.exec(text);
  const [listen, application] = [Number(parts?.[1] ?? -1), Number(parts?.[3] ?? -1)];
  if (parts === null || listen > 65_535 || application < 1 || application > 65_535) {
    context.addIssue({
      code: "custom",
      message: `${JSON.stringify(text)} is not PORT:HOST:PORT, such as "8080:127.0.0.1:9080"`,
    });
    return z.NEVER;
  }
  return { port: listen, address: (parts[2] ?? "").replace(/^\[|\]$/gu, ""), applicationPort: application };
});

const addressAndPort = z.string().transform((text, context) => {
  const parts = /^(?:(\[[0-9A-Fa-f:.]+\]|[^:\s]+):)?(\d{1,5})$/u.exec(text);
  const number = Number(parts?.[2] ?? -1);
  if (parts === null || number > 65_535) {
    context.addIssue({ code: "custom", message: `${JSON.stringify(text)} is not PORT or HOST:PORT` });
    return z.NEVER;
  }
  return { hostname: (parts[1] ?? "127.0.0.1").replace(/^\[|\]$/gu, ""), port: number };
});

const label = z.string().regex(/^[A-Za-z0-9._/-]{1,253}$/u);

const concurrency = z
  .union([z.literal("auto"), z.string(), z.number()])
  .refine(
    (value) => value === "auto" || (/^\d{1,3}$/u.test(String(value)) && Number(value) >= 1 && Number(value) <= 256),
    {
      error: (issue) => `${JSON.stringify(issue.input)} is not a number of workers, 1 to 256, or "auto"`,
    },
  )
  .transform((value) => (value === "auto" ? countCpus() : Number(value)));

const Settings = z.strictObject({
  /** The service that this proxy stands before, as control and metrics name it. */
  service: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/u, {
      error: (issue) => `${JSON.stringify(issue.input)} is not a DNS label such as "reviews"`,
    })
    .max(63),
  namespace: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/u, { error: "is not a DNS label" })
    .default("default"),
  /** Workload labels, such as `version: v1`; selectors of filters look at them. */
  labels: z
    .record(label, z.string(), {
      error: (issue) =>
        issue.code === "invalid_key" ? "is not a label; write NAME=VALUE, such as version=v1" : undefined,
    })
    .default({}),
  /** `PORT:HOST:PORT`: listen here, the application is there. */
  inbound: z.array(inbound).max(100).default([]),
  /**
   * The application sends its own calls to these ports, one of which is enough for HTTP. What is not HTTP says no host: its
   * port tells the service. With interception the first is where the rules lead. Off by default.
   */
  outbound,
  /** `redirect`: iptables leads connections here, by the rules of `vespid intercept`. Default `none`. */
  interception: z
    .enum(["none", "redirect"], {
      error: (issue) =>
        `is ${JSON.stringify(issue.input)}, must be "redirect" (the rules of vespid intercept) or "none"`,
    })
    .default("none"),
  /** With interception: where connections from outside are led, whatever their port. Default `15006`. */
  inboundCapturePort: port.prefault("15006"),
  /** Address of the control service. */
  control: z
    .url({
      protocol: /^https?$/u,
      error: (issue) => `${JSON.stringify(issue.input)} is not an http address such as "http://127.0.0.1:15010"`,
    })
    .optional(),
  /** A snapshot to run without control: YAML or JSON. */
  config: z.string().min(1).optional(),
  /** Where the inbound ports listen. Default every address. */
  bind: z.string().min(1).default("0.0.0.0"),
  admin: addressAndPort.prefault("127.0.0.1:15000"),
  /** Processes that serve: `auto` is one for each processor that this one may use. Default `2`, as Istio. */
  concurrency: concurrency.prefault(2),
  /** A file to append to, `-` for standard output, `off` for none. */
  accessLog: z.string().min(1).default("-"),
  logLevel: z.enum(["trace", "debug", "info", "warn", "error", "fatal"]).default("info"),
  /**
   * What runs sandboxed filters: `jsc` is Bun's own engine and needs nothing; `wasmtime` takes 0.3 ms for a fresh instance
   * and some seconds to compile a new version, and needs its library. Default `auto`: `wasmtime` where the library is.
   */
  wasmEngine: z
    .enum(["jsc", "wasmtime", "auto"], {
      error: (issue) => `is ${JSON.stringify(issue.input)}, must be "jsc", "wasmtime" or "auto"`,
    })
    .default("auto"),
  /** `libwasmtime.so`, version 50. Default: where the system keeps libraries. */
  libwasmtime: z.string().min(1).optional(),
  /** Where the last good snapshot, fetched bundles and compiled filters are kept. */
  state: z.string().min(1).optional(),
  /** At the end, how long connections may take to finish. Default 45 s, as Istio. */
  drainTime: durationMs(45_000),
});

const Bootstrap = Settings.transform(({ drainTime, ...settings }) => ({ ...settings, drainTimeMs: drainTime }));

/** A checked start configuration. */
export type Bootstrap = z.infer<typeof Bootstrap>;

/** What a proxy was asked to do: run, or print a text and end with that exit code. */
export type Asked = Parsed<Bootstrap> | { readonly ok: "text"; readonly text: string; readonly exitCode: number };

/** Reads flags, then environment (`VESPID_SERVICE`, `VESPID_INBOUND` with commas, …), then `--bootstrap FILE`. */
export async function readBootstrap(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Asked> {
  let text = "";
  const command = buildCommand()
    .exitOverride()
    .configureOutput({
      writeOut: (out) => (text += out),
      writeErr: (out) => (text += out),
    });
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return { ok: "text", text, exitCode: error.exitCode === 0 ? 0 : 2 };
    throw error;
  }
  const { bootstrap, ...flags } = command.opts<Record<string, unknown>>();
  const file = typeof bootstrap === "string" ? bootstrap : environment["VESPID_BOOTSTRAP"];
  const fromFile = file === undefined ? { ok: true as const, value: {} } : await readYamlObject(file);
  const merged = { ...(fromFile.ok ? fromFile.value : {}), ...readEnvironment(environment), ...readLabels(flags) };
  const parsed = parseWith(Bootstrap, merged);
  const problems: Problem[] = [
    ...(fromFile.ok ? [] : fromFile.problems),
    ...(parsed.ok ? checkPorts(parsed.value) : parsed.problems),
    ...checkPresence(merged),
  ];
  return problems.length === 0 ? parsed : { ok: false, problems };
}

function buildCommand(): Command {
  return new Command("proxy")
    .description("Runs a sidecar before one service.")
    .option("--service <name>", "the service that this proxy stands before")
    .option("--namespace <name>", 'its namespace (default "default")')
    .option("--label <key=value...>", "workload labels, such as version=v1")
    .option("--inbound <port:host:port...>", "listen on PORT, send to the application at HOST:PORT")
    .option("--outbound <port...>", "listen on 127.0.0.1:PORT for the application's own calls")
    .option("--interception <mode>", 'redirect: serve what the rules of "vespid intercept" lead here (default "none")')
    .option(
      "--inbound-capture-port <port>",
      "with --interception: where they lead connections from outside (default 15006)",
    )
    .option("--control <url>", "control service that says what to run")
    .option("--config <file>", "snapshot to run without a control service, YAML or JSON: docs/snapshots.md")
    .option("--bind <address>", 'where inbound ports listen (default "0.0.0.0")')
    .option("--admin <port>", 'health, metrics and config dump (default "127.0.0.1:15000")')
    .option("--concurrency <n>", 'processes that serve, or "auto": one for each processor (default "2")')
    .option("--access-log <file>", 'file to append to, "-" for standard output, "off" for none (default "-")')
    .option("--log-level <level>", 'trace, debug, info, warn, error or fatal (default "info")')
    .option("--wasm-engine <engine>", 'jsc, wasmtime, or "auto": wasmtime where its library is (default "auto")')
    .option("--libwasmtime <file>", "libwasmtime.so of version 50 (default: where the system keeps libraries)")
    .option("--state <dir>", "where the last good snapshot, fetched bundles and compiled filters are kept")
    .option("--drain-time <span>", 'at the end, how long connections may take to finish (default "45s")')
    .option("--bootstrap <file>", "the same settings as YAML; flags and VESPID_… variables go before it")
    .addHelpText(
      "after",
      "\nEvery flag is a variable too: VESPID_SERVICE, VESPID_INBOUND (several with commas), …\n" +
        "\nExample:\n  proxy --service reviews --inbound 8080:127.0.0.1:9080\n" +
        "  proxy --service reviews --interception redirect\n" +
        "\nSignals:\n  SIGTERM  finish what was begun, within --drain-time, then end\n" +
        "  SIGUSR2  hot restart, with settings and --config read again (not with --concurrency 1)\n",
    );
}

async function readYamlObject(path: string): Promise<Parsed<Record<string, unknown>>> {
  try {
    const value = await readYaml(path);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ok: true, value: { ...value } };
    return { ok: false, problems: [{ path: "bootstrap", message: `${path} does not hold a mapping of settings` }] };
  } catch (error) {
    return {
      ok: false,
      problems: [{ path: "bootstrap", message: `${path}: ${error instanceof Error ? error.message : String(error)}` }],
    };
  }
}

/** The document in a YAML or JSON file. The parser is loaded here, since most proxies start without a file and 30 ms sooner. */
export async function readYaml(path: string): Promise<unknown> {
  const { parse } = await import("yaml");
  return parse(readFileSync(path, "utf8"));
}

const LISTS = new Set(["inbound", "outbound"]);

function readEnvironment(environment: Readonly<Record<string, string | undefined>>): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const key of Object.keys(Settings.shape)) {
    const value = environment[`VESPID_${key.replaceAll(/[A-Z]/gu, (letter) => `_${letter}`).toUpperCase()}`];
    if (value === undefined || value === "") continue;
    if (key === "labels") found[key] = Object.fromEntries(value.split(",").map(splitLabel));
    else found[key] = LISTS.has(key) ? value.split(",") : value;
  }
  return found;
}

function readLabels({ label: labels, ...flags }: Record<string, unknown>): Record<string, unknown> {
  if (!Array.isArray(labels)) return flags;
  return { ...flags, labels: Object.fromEntries(labels.map((pair) => splitLabel(String(pair)))) };
}

function splitLabel(pair: string): [string, string] {
  const equals = pair.indexOf("=");
  return equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
}

/** What must and must not be there together; looked at before the values are right, so that every mistake is told at once. */
function checkPresence(settings: Readonly<Record<string, unknown>>): readonly Problem[] {
  const problems: Problem[] = [];
  if (settings["control"] !== undefined && settings["config"] !== undefined) {
    problems.push({ path: "config", message: "a snapshot file and a control service are both named; leave one out" });
  }
  const intercepts = settings["interception"] !== undefined && settings["interception"] !== "none";
  if (!isNamed(settings["inbound"]) && !isNamed(settings["outbound"]) && !intercepts) {
    const message = "nothing to listen on; pass --inbound PORT:HOST:PORT, --outbound PORT or --interception redirect";
    problems.push({ path: "inbound", message });
  }
  return problems;
}

function isNamed(listed: unknown): boolean {
  return listed !== undefined && !(Array.isArray(listed) && listed.length === 0);
}

function checkPorts(bootstrap: Bootstrap): readonly Problem[] {
  const ports = [
    ...bootstrap.inbound.map((application) => application.port),
    ...bootstrap.outbound,
    bootstrap.admin.port,
    bootstrap.interception === "redirect" ? bootstrap.inboundCapturePort : 0,
  ].filter((number) => number > 0);
  const twice = ports.find((number, index) => ports.indexOf(number) !== index);
  return twice === undefined ? [] : [{ path: "inbound", message: `port ${twice} is used twice` }];
}
