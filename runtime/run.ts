// The process edge: arguments, signals, exit codes. 0 ended as asked, 1 could not start, 2 the arguments are wrong.
import pino from "pino";
import { readBootstrap } from "./bootstrap.ts";
import { renderProblems } from "./contract/problem.ts";
import { startProxy, type RunningProxy } from "./proxy.ts";

const asked = await readBootstrap(process.argv.slice(2), process.env);
if (asked.ok === "text") {
  (asked.exitCode === 0 ? process.stdout : process.stderr).write(asked.text);
  process.exit(asked.exitCode);
}
if (!asked.ok) {
  process.stderr.write(`the proxy cannot start:\n${renderProblems(asked.problems)}\n`);
  process.exit(2);
}
const bootstrap = asked.value;
const log = pino(
  { level: bootstrap.logLevel, base: { service: bootstrap.service } },
  pino.destination({ dest: 2, sync: true }),
);

let proxy: RunningProxy | undefined;
let isEnding = false;
async function end(): Promise<void> {
  // A second signal means now, and so does one before anything serves.
  if (isEnding || proxy === undefined) process.exit(isEnding ? 1 : 0);
  isEnding = true;
  log.info("draining: no new connections");
  await proxy.drain();
  await proxy.stop();
  process.exit(0);
}
process.on("SIGTERM", () => void end());
process.on("SIGINT", () => void end());

const ambient = { clock: { now: () => Date.now(), monotonic: () => performance.now() }, random: Math.random };
const started = await startProxy(bootstrap, log, ambient);
if (!started.ok) {
  process.stderr.write(`the proxy cannot start:\n${renderProblems(started.problems)}\n`);
  process.exit(1);
}
proxy = started.value;
log.info({ inbound: proxy.inboundPorts, outbound: proxy.outboundPort, admin: proxy.adminPort }, "ready");
