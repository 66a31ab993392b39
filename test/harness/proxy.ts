// Our own programs as children: the proxy and the control service, ready before a test talks to them.
import { join } from "node:path";
import { freePorts } from "./ports.ts";
import { startProgram, type Program, type ProgramOptions } from "./program.ts";
import { until } from "./until.ts";

/** The repository's root. */
export const ROOT: string = join(import.meta.dir, "../..");

export interface ProxyOptions extends ProgramOptions {
  /** Keeps its state there, so that what one test was told is not the next one's last good snapshot. */
  readonly cwd: string;
  readonly service: string;
  /** Port of the application on loopback; without it the proxy has no inbound listener. */
  readonly applicationPort?: number;
  /** Opens an outbound listener. */
  readonly hasOutbound?: boolean;
  /** Address of a control service. */
  readonly control?: string;
  /** A file with a snapshot. */
  readonly config?: string;
  /** The snapshot itself, for those that name the sidecar's own ports; instead of `config`. */
  readonly snapshot?: (ports: Required<ProxyPorts>) => unknown;
  /** Where the access log goes; stdout without it. */
  readonly accessLog?: string;
  /** Root of the program; this repository without it. */
  readonly root?: string;
  /** Workers; `1`, one process without a supervisor, unless workers are what is tested. */
  readonly concurrency?: number;
  /** More flags, as they are. */
  readonly flags?: readonly string[];
}

/** A running sidecar. */
export interface RunningProxy extends AsyncDisposable {
  readonly program: Program;
  /** `0` where it has none. */
  readonly inboundPort: number;
  /** `0` where it has none. */
  readonly outboundPort: number;
  /** Address of its admin listener: `http://127.0.0.1:PORT`. */
  readonly admin: string;
}

/** Ports that a sidecar is told to take. */
export interface ProxyPorts {
  readonly inboundPort?: number;
  readonly outboundPort?: number;
  readonly adminPort: number;
}

/** The command line of a sidecar. */
export function proxyCommand(options: ProxyOptions, ports: ProxyPorts): readonly string[] {
  const command = [process.execPath, join(options.root ?? ROOT, "runtime/main.ts"), "--service", options.service];
  command.push("--bind", "127.0.0.1", "--admin", String(ports.adminPort), "--state", join(options.cwd, "state"));
  command.push("--concurrency", String(options.concurrency ?? 1));
  if (options.applicationPort !== undefined) {
    command.push("--inbound", `${ports.inboundPort ?? 0}:127.0.0.1:${options.applicationPort}`);
  }
  if (options.hasOutbound === true) command.push("--outbound", String(ports.outboundPort ?? 0));
  if (options.control !== undefined) command.push("--control", options.control);
  if (options.config !== undefined) command.push("--config", options.config);
  if (options.accessLog !== undefined) command.push("--access-log", options.accessLog);
  return [...command, ...(options.flags ?? [])];
}

/** Starts a sidecar and waits until it says that it is ready. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const [inboundPort = 0, outboundPort = 0, adminPort = 0] = freePorts(3);
  const ports = { inboundPort, outboundPort, adminPort };
  const config = options.snapshot === undefined ? options.config : join(options.cwd, "snapshot.json");
  if (config !== undefined && options.snapshot !== undefined) {
    await Bun.write(config, JSON.stringify(options.snapshot(ports)));
  }
  const command = proxyCommand(config === undefined ? options : { ...options, config }, ports);
  const program = startProgram(command, options);
  const admin = `http://127.0.0.1:${adminPort}`;
  await answers(program, `${admin}/ready`);
  return {
    program,
    inboundPort: options.applicationPort === undefined ? 0 : inboundPort,
    outboundPort: options.hasOutbound === true ? outboundPort : 0,
    admin,
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

/** Waits until `url` answers 200; ends the program, and throws with what it printed, when it does not. */
export async function answers(program: Program, url: string): Promise<void> {
  try {
    await until(`${program.name} to answer 200 at ${url}; it printed:\n${program.output()}`, async () => {
      program.assertRunning();
      try {
        const reply = await fetch(url, { headers: { connection: "close" } });
        await reply.arrayBuffer();
        return reply.status === 200 ? true : undefined;
      } catch {
        // Not listening yet.
        return undefined;
      }
    });
  } catch (error) {
    await program.stop();
    throw error;
  }
}
