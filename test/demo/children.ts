// The processes of the demo, each on a leash: they end with the demo, however it ends.
import { join } from "node:path";
import { startProgram, type Program, type ProgramOptions } from "../harness/program.ts";
import { answers, proxyCommand } from "../harness/proxy.ts";
import { freePorts } from "../harness/ports.ts";

const LEASH = join(import.meta.dir, "leash.ts");
const SERVICE = join(import.meta.dir, "service.ts");

/** Starts a command line of Bun on the leash. */
export function startLeashed([bun = process.execPath, ...rest]: readonly string[], options: ProgramOptions): Program {
  return startProgram([bun, "--preload", LEASH, ...rest], { ...options, stdin: "held" });
}

/** A service and the sidecar that stands before it. */
export interface Pair extends AsyncDisposable {
  readonly service: string;
  readonly version: string;
  readonly applicationPort: number;
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly admin: string;
  readonly programs: readonly Program[];
}

/** Starts both; the sidecar's ports are picked first, so that the service knows whom to call. */
export async function startPair(
  name: { readonly service: string; readonly version: string },
  control: string,
  options: { readonly cwd: string },
): Promise<Pair> {
  const [inboundPort = 0, outboundPort = 0, adminPort = 0] = freePorts(3);
  await using stack = new AsyncDisposableStack();
  const application = stack.use(
    startLeashed([process.execPath, SERVICE, name.service, name.version, String(outboundPort)], options),
  );
  const [, applicationPort = "0"] = await application.printed(/listening on (\d+)/u);
  const command = proxyCommand(
    {
      service: name.service,
      applicationPort: Number(applicationPort),
      hasOutbound: true,
      control,
      cwd: join(options.cwd, `${name.service}-${name.version}`),
      accessLog: join(options.cwd, `${name.service}-${name.version}.log`),
      flags: ["--label", `version=${name.version}`],
    },
    { inboundPort, outboundPort, adminPort },
  );
  const sidecar = stack.use(startLeashed(command, options));
  const admin = `http://127.0.0.1:${adminPort}`;
  await answers(sidecar, `${admin}/ready`);
  const owned = stack.move();
  return {
    ...name,
    applicationPort: Number(applicationPort),
    inboundPort,
    outboundPort,
    admin,
    programs: [application, sidecar],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
