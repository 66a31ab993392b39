// A proxy-wasm guest for Envoy, compiled once and kept with the other programs that are built from source.
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { runProgram } from "./program.ts";
import { ROOT } from "./proxy.ts";

const SDK = "@gcoredev/proxy-wasm-sdk-as";
const PACKAGES = [`${SDK}@1.2.3`, "assemblyscript@0.28.20"];
/** Its logger is for another host, and does not compile for a proxy. */
const LOGGER = `node_modules/${SDK}/assembly/fastedge/utils/runtime.ts`;
const SOURCE = join(ROOT, "test/fixtures/stamp/proxy-wasm.as");

/** The stamp filter for Envoy: the path of its module. Takes some ten seconds the first time, and the npm registry. */
export async function stampForEnvoy(): Promise<string> {
  const { VESPID_PEERS: own, XDG_CACHE_HOME: cache = join(homedir(), ".cache") } = process.env;
  const source = await Bun.file(SOURCE).text();
  const digest = Bun.hash(PACKAGES.join() + source).toString(16);
  const built = join(own ?? join(cache, "vespid/peers"), `stamp-${digest}.wasm`);
  if (existsSync(built)) return built;
  const folder = `${built}.build`;
  await mkdir(join(folder, "assembly"), { recursive: true });
  await Bun.write(join(folder, "package.json"), "{}");
  await Bun.write(join(folder, "assembly/index.ts"), source);
  await run(["npm", "install", "--no-audit", "--no-fund", ...PACKAGES], folder);
  const logger = Bun.file(join(folder, LOGGER));
  await Bun.write(join(folder, LOGGER), (await logger.text()).replace(/^.*process\.stdout\.write.*$/mu, ""));
  const flags = ["-O3", "--use", "abort=abort_proc_exit", "-o", "stamp.wasm"];
  await run([join(folder, "node_modules/.bin/asc"), "assembly/index.ts", ...flags], folder);
  await rename(join(folder, "stamp.wasm"), built);
  await rm(folder, { recursive: true });
  return built;
}

async function run(command: readonly string[], cwd: string): Promise<void> {
  const { status, output } = await runProgram(command, { cwd });
  if (status !== 0) throw new Error(`${command.join(" ")} ended with ${status}:\n${output.slice(-2000)}`);
}
