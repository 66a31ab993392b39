// `filter explain`: what a filter may see, change, call and cost; or, with a request's id, what it did to that request.
import type { Command } from "commander";
import { stat } from "node:fs/promises";
import type { Manifest } from "../../runtime/contract/bundle.ts";
import type { Parsed } from "../../runtime/contract/problem.ts";
import { parseArtifact } from "./artifact.ts";
import { readManifestOf } from "./build.ts";
import { renderManifest } from "./manifest-text.ts";
import { findFilterFile } from "./project.ts";
import { EXIT, fail, print, tell, type JsonOption } from "./terminal.ts";

interface ExplainFlags extends JsonOption {
  readonly dev?: string;
}

/** Adds the command. */
export function addExplain(filter: Command): void {
  filter
    .command("explain")
    .argument(
      "<path-or-request>",
      "a filter's file or folder, an artifact, or the x-request-id of a request to filter dev",
    )
    .option("--dev <url>", "where filter dev answers (default: the one that was started in this folder)")
    .option("--json", "print it as JSON")
    .description("say what a filter sees, changes, calls and costs, or what became of a request")
    .action(runExplain);
}

async function runExplain(what: string, flags: ExplainFlags): Promise<void> {
  const isThere = (await stat(what).catch(() => undefined)) !== undefined;
  if (!isThere && /^[\w.-]{1,128}$/u.test(what) && !/\.(?:ts|js|wasm)$/u.test(what)) return explainRequest(what, flags);
  const manifest = await manifestOf(what);
  if (!manifest.ok) return fail(manifest.problems, flags);
  if (flags.json === true) return print(manifest.value);
  for (const line of renderManifest(manifest.value)) tell(line);
  return undefined;
}

async function manifestOf(path: string): Promise<Parsed<Manifest>> {
  if (path.endsWith(".wasm")) {
    const parsed = parseArtifact(await Bun.file(path).bytes());
    return parsed.ok ? { ok: true, value: parsed.value.manifest } : parsed;
  }
  const file = await findFilterFile(path);
  return file.ok ? readManifestOf(file.value) : file;
}

async function explainRequest(id: string, flags: ExplainFlags): Promise<void> {
  const { askDev } = await import("../dev/ask-dev.ts");
  const asked = await askDev(id, flags.dev);
  if (!asked.ok) return fail(asked.problems, flags, EXIT.unreachable);
  if (flags.json === true) return print(asked.value.story);
  for (const line of asked.value.text.split("\n")) tell(line);
  return undefined;
}
