// `filter dev`: an author's filter in a local proxy while it is written.
import type { Command } from "commander";
import type { Problem } from "../../runtime/contract/problem.ts";
import { findFilterFile } from "./project.ts";
import { EXIT, fail } from "./terminal.ts";

interface DevFlags {
  readonly port: string;
  readonly upstream?: readonly string[];
  readonly config?: string;
  readonly set?: readonly string[];
  readonly sandbox?: boolean;
  readonly check: boolean;
  readonly json?: boolean;
}

/** Adds the command. */
export function addDev(filter: Command): void {
  filter
    .command("dev")
    .argument("<path>", "a filter's file, or a folder that holds filter.ts")
    .option("--port <port>", "where the proxy listens on 127.0.0.1", "15080")
    .option(
      "--upstream <[name=]url...>",
      "the service behind the filter; with NAME=, an upstream that the filter calls (default: one that echoes)",
    )
    .option("--config <file>", "the filter's configuration, YAML or JSON")
    .option("--set <path=value...>", "one value of the configuration, such as realm.name=staff")
    .option("--sandbox", "run it in the sandbox, as proxies do, and not its source")
    .option("--no-check", "do not check types")
    .option("--json", "print each request as a line of JSON")
    .description("run a filter in a local proxy, again each time that it is saved")
    .action(runDevCommand);
}

async function runDevCommand(path: string, flags: DevFlags): Promise<void> {
  const file = await findFilterFile(path);
  const problems: Problem[] = file.ok ? [] : [...file.problems];
  const upstreams = new Map<string, URL>();
  for (const text of flags.upstream ?? []) {
    const [, name = "", url = ""] = /^(?:([a-z][a-z0-9-]*)=)?(.+)$/u.exec(text) ?? [];
    if (URL.canParse(url) && /^https?:/u.test(url)) upstreams.set(name, new URL(url));
    else
      problems.push({
        path: "--upstream",
        message: `${JSON.stringify(text)} is not [NAME=]URL, such as http://127.0.0.1:9000`,
      });
  }
  const port = Number(flags.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    problems.push({ path: "--port", message: `${JSON.stringify(flags.port)} is not a port, 0 to 65535` });
  if (!file.ok || problems.length > 0) return fail(problems, flags, file.ok ? EXIT.usage : EXIT.failed);
  // Loaded here: no other command needs a proxy.
  const [{ runDev }, { readConfig }] = await Promise.all([import("../dev/run-dev.ts"), import("../dev/settings.ts")]);
  const { config, set = [], sandbox = false, check, json = false } = flags;
  const service = upstreams.get("");
  upstreams.delete("");
  await runDev(
    {
      path: file.value,
      port,
      service,
      upstreams,
      isSandboxed: sandbox,
      checksTypes: check,
      config: () => readConfig(config, set),
      configFiles: config === undefined ? [] : [config],
    },
    json,
  );
}
