// Real programs as children: started, listened to, and ended with the test that started them.
import type { Subprocess } from "bun";
import { until } from "./until.ts";

/** Output kept of each program; the oldest goes first. */
const OUTPUT_MAX_CHARS = 1_000_000;
/** After SIGTERM, before SIGKILL. */
const STOP_WITHIN_MS = 10_000;

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Runs on this core alone, by `taskset`. */
  readonly core?: number;
  /** Its stdin: closed at once (the default), or held open until this process ends, however it ends. */
  readonly stdin?: "closed" | "held";
}

/** A running child. Disposing of it ends it, and waits until it has. */
export interface Program extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** What it printed so far, both streams. */
  output(): string;
  /** What it printed so far on stdout. */
  stdout(): string;
  /** Its exit status; 128 + n where signal n ended it, as a shell says it. */
  readonly exited: Promise<number>;
  /** The first match in what it printed; throws when it ends before, or prints none within the time. */
  printed(pattern: RegExp, withinMs?: number): Promise<RegExpExecArray>;
  /** Throws, with what it printed last, when it has ended. */
  assertRunning(): void;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL where that is not heeded. Returns the exit status. */
  stop(): Promise<number>;
}

/** Starts a program by its command line. `PATH` includes sbin, where Debian keeps nginx and HAProxy. */
export function startProgram(command: readonly string[], options: ProgramOptions = {}): Program {
  const pinned = options.core === undefined ? command : ["taskset", "-c", String(options.core), ...command];
  const name = command[0]?.split("/").at(-1) ?? "program";
  const child = Bun.spawn([...pinned], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, ...options.env },
    stdin: options.stdin === "held" ? "pipe" : "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  return new ChildProgram(name, child);
}

/** Runs a program to its end. */
export async function runProgram(
  command: readonly string[],
  options: ProgramOptions = {},
): Promise<{ readonly status: number; readonly stdout: string; readonly output: string }> {
  await using program = startProgram(command, options);
  const status = await program.exited;
  return { status, stdout: program.stdout(), output: program.output() };
}

class ChildProgram implements Program {
  readonly name: string;
  readonly exited: Promise<number>;
  readonly #child: Subprocess<"ignore" | "pipe", "pipe", "pipe">;
  #output = "";
  #stdout = "";

  constructor(name: string, child: Subprocess<"ignore" | "pipe", "pipe", "pipe">) {
    this.name = name;
    this.#child = child;
    const streams = [
      this.#read(child.stdout, (text) => (this.#stdout = (this.#stdout + text).slice(-OUTPUT_MAX_CHARS))),
      this.#read(child.stderr, () => undefined),
    ];
    this.exited = child.exited.then(async (status) => {
      await Promise.all(streams);
      return status;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  output(): string {
    return this.#output;
  }

  stdout(): string {
    return this.#stdout;
  }

  async printed(pattern: RegExp, withinMs?: number): Promise<RegExpExecArray> {
    return until(
      `${this.name} to print ${String(pattern)}; it printed:\n${this.#tail()}`,
      () => {
        const match = pattern.exec(this.#output);
        if (match !== null) return match;
        this.assertRunning();
        return undefined;
      },
      withinMs,
    );
  }

  assertRunning(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) return;
    throw new Error(`${this.name} ended with ${this.#child.exitCode ?? this.#child.signalCode}:\n${this.#tail()}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(): Promise<number> {
    this.#child.kill("SIGTERM");
    const giveUp = setTimeout(() => this.#child.kill("SIGKILL"), STOP_WITHIN_MS);
    try {
      return await this.exited;
    } finally {
      clearTimeout(giveUp);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #read(stream: ReadableStream<Uint8Array>, also: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      this.#output = (this.#output + text).slice(-OUTPUT_MAX_CHARS);
      also(text);
    }
  }

  #tail(): string {
    return this.#output.slice(-4000);
  }
}
