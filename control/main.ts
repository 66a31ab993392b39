// Process edge of control: arguments and environment in, exit codes and signals out.
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { BUILTIN_FILTERS } from "../runtime/builtin-filters.ts";
import { parseWith, type Problem } from "../runtime/contract/problem.ts";
import { createNativeHost } from "../runtime/host/native-host.ts";
import { checkConfig } from "../sdk/build/check-config.ts";
import { deriveBundle } from "../sdk/build/derive.ts";
import { installHost } from "../sdk/host.ts";
import { createLog } from "./log.ts";
import { startControl, type Control } from "./service.ts";
import { openSqliteStore } from "./store/sqlite-store.ts";

interface Flags {
  readonly listen: { readonly host: string; readonly port: number };
  readonly store: string;
  readonly token?: string;
  readonly logLevel: string;
}

const flags = parseFlags();

function parseFlags(): Flags {
  const command = buildCommand().exitOverride();
  try {
    return command.parse().opts<Flags>();
  } catch (error) {
    // It has printed what is wrong with the command line, or the help that was asked for.
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
    throw error;
  }
}

function buildCommand(): Command {
  return new Command("control")
    .description("Vespid's control service: keeps what is wanted and tells every proxy what to run")
    .addOption(
      new Option("--listen <host:port>", "address of the API; port 0 takes a free one")
        .env("VESPID_LISTEN")
        .argParser(parseListen)
        .default({ host: "127.0.0.1", port: 15_010 }, "127.0.0.1:15010"),
    )
    .addOption(
      new Option("--store <file>", "SQLite file, made when it is absent; :memory: keeps nothing")
        .env("VESPID_STORE")
        .default(".vespid/control.sqlite"),
    )
    .addOption(
      new Option("--token <token>", "token for changes, in place of the one of the first run").env("VESPID_TOKEN"),
    )
    .addOption(
      new Option("--log-level <level>", "least severe line that is logged")
        .env("VESPID_LOG_LEVEL")
        .choices(["debug", "info", "warn", "error", "silent"])
        .default("info"),
    )
    .addHelpText("after", "\nExit codes: 0 ended as asked, 1 could not start, 2 the command line is wrong.");
}

const log = createLog(flags.logLevel, process.stderr.isTTY);

// Built-in filters may ask for patterns and schemas while they read their configuration.
installHost(createNativeHost());

function start(): Control {
  const store = openSqliteStore(flags.store);
  try {
    const { listen } = flags;
    // An empty variable is one that nobody set; an empty token would be no token at all.
    const token = flags.token === "" ? undefined : flags.token;
    return startControl({
      listen,
      store,
      token,
      deriveBundle,
      checkConfig: {
        bundle: checkConfig,
        builtin: checkBuiltinConfig,
        builtinUpstreams: (name) => BUILTIN_FILTERS.get(name)?.upstreams ?? [],
      },
      log,
      now: () => Date.now(),
      monotonic: () => performance.now(),
    });
  } catch (error) {
    store.close();
    throw error;
  }
}

/** By the filter's own schema: what the proxies would refuse must not be taken here. */
function checkBuiltinConfig(name: string, config: unknown): readonly Problem[] {
  const schema = BUILTIN_FILTERS.get(name)?.config;
  const parsed = schema && parseWith(schema, config);
  return parsed === undefined || parsed.ok ? [] : parsed.problems;
}

/** The address is in the message where it is what is wrong: Bun leaves it out. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const address = `cannot listen on ${flags.listen.host}:${flags.listen.port}`;
  switch ("code" in error ? error.code : undefined) {
    case "EADDRINUSE":
      return `${address}: the port is in use; pass --listen HOST:PORT`;
    case "EADDRNOTAVAIL":
      return `${address}: this machine does not have that address; pass --listen HOST:PORT`;
    case "EACCES":
      return `${address}: not allowed; pass --listen HOST:PORT`;
    default:
      return error.message;
  }
}

function parseListen(text: string): Flags["listen"] {
  const [, host, port] = /^(?:\[?([^\]]*?)\]?:)?(\d{1,5})$/u.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535) {
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not an address such as 127.0.0.1:15010`);
  }
  return { host: host === undefined || host === "" ? "127.0.0.1" : host, port: Number(port) };
}

try {
  const control = start();
  process.stdout.write(`control listens on ${control.url}\n`);
  if (control.createdToken !== undefined) {
    process.stdout.write(`token for changes, shown this once: ${control.createdToken}\n`);
  }
  let isStopping = false;
  const stop = (signal: string) => {
    // A second signal does not wait.
    if (isStopping) process.exit(130);
    isStopping = true;
    log.info({ signal }, "control stops");
    void control.stop().then(() => process.exit(0));
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
} catch (error) {
  process.stderr.write(`control cannot start: ${reasonOf(error)}\n`);
  process.exit(1);
}
