// Our control service as a child, and what an operator does with it over its API.
import { join } from "node:path";
import { z } from "zod";
import { startProgram, type Program, type ProgramOptions } from "./program.ts";
import { ROOT } from "./proxy.ts";
import { until } from "./until.ts";

export interface ControlOptions {
  /** Where it keeps its store. */
  readonly cwd: string;
  /** Default: one that the system picks. */
  readonly port?: number;
  /** Starts it in place of `startProgram`: the demo keeps its children on a leash. */
  readonly start?: (command: readonly string[], options: ProgramOptions) => Program;
}

/** What control says of a connected proxy, as far as waiting needs it. */
export interface ProxyState {
  readonly id: string;
  readonly service: string;
  readonly status: string;
  readonly version?: string | undefined;
}

const Proxies = z.object({
  items: z.array(z.object({ id: z.string(), service: z.string(), status: z.string(), version: z.string().optional() })),
});
const Bundle = z.object({ digest: z.string() });

/** A running control service. */
export class RunningControl implements AsyncDisposable {
  readonly program: Program;
  readonly url: string;
  readonly token: string;

  constructor(program: Program, url: string, token: string) {
    this.program = program;
    this.url = url;
    this.token = token;
  }

  /** Sends a request with the token. */
  request(
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    type = "application/yaml",
  ): Promise<Response> {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": type };
    return fetch(`${this.url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
  }

  /** Applies documents; throws the problems when they are refused. */
  async apply(yaml: string): Promise<void> {
    const reply = await this.request("POST", "/v1/apply", yaml);
    if (!reply.ok) throw new Error(`apply was answered ${reply.status}: ${await reply.text()}`);
  }

  /** Pushes a built filter; returns its digest. */
  async push(artifact: Uint8Array): Promise<string> {
    const reply = await this.request("POST", "/v1/bundles", new Uint8Array(artifact), "application/wasm");
    if (!reply.ok) throw new Error(`push was answered ${reply.status}: ${await reply.text()}`);
    return Bundle.parse(await reply.json()).digest;
  }

  /** Every connected proxy. */
  async proxies(): Promise<readonly ProxyState[]> {
    return Proxies.parse(await (await fetch(`${this.url}/v1/proxies`)).json()).items;
  }

  /** Does `change`, and returns once every proxy runs what came of it. It has to change something for at least one. */
  async rollOut(change: () => Promise<void>, withinMs?: number): Promise<void> {
    // A proxy serves its first snapshot before control has heard of it: what it runs then is no change.
    const before = await until("every proxy to have said what it runs", async () => {
      const now = await this.proxies();
      const isSettled = now.every(({ status }) => status !== "pushing");
      return isSettled ? new Map(now.map(({ id, version }) => [id, version])) : undefined;
    });
    await change();
    await until(
      "every proxy to run what was applied",
      async () => {
        const now = await this.proxies();
        const refused = now.find(({ status }) => status === "refused" || status === "unpublishable");
        if (refused !== undefined) throw new Error(`${refused.id} refused it: ${JSON.stringify(refused)}`);
        const isDone =
          now.every(({ status }) => status === "synced") && now.some(({ id, version }) => before.get(id) !== version);
        return isDone ? true : undefined;
      },
      withinMs,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

/** Starts control on a store in `cwd`, and waits until it listens. The token of the store's first start is passed on to later ones. */
export async function startControl(options: ControlOptions, token?: string): Promise<RunningControl> {
  const listen = `127.0.0.1:${options.port ?? 0}`;
  const command = [process.execPath, join(ROOT, "control/main.ts"), "--listen", listen];
  command.push("--store", join(options.cwd, "control.sqlite"));
  const program = (options.start ?? startProgram)(command, { cwd: options.cwd });
  try {
    const [, url = ""] = await program.printed(/control listens on (\S+)/u);
    const [, created] = token === undefined ? await program.printed(/token .*: (\S+)/u) : [];
    return new RunningControl(program, url, token ?? created ?? "");
  } catch (error) {
    await program.stop();
    throw error;
  }
}
