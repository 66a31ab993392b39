// `filter wrap`: a component by another toolchain and a manifest become the artifact that is pushed.
import type { Command } from "commander";
import { fail, print, tell, type JsonOption } from "./terminal.ts";
import { wrapComponent } from "./wrap.ts";

interface WrapOptions extends JsonOption {
  readonly manifest: string;
  readonly output?: string;
}

/** Adds the command. */
export function addWrap(filter: Command): void {
  filter
    .command("wrap")
    .argument("<component>", "a component of the world in sdk/wit/filter.wit, by any toolchain")
    .requiredOption("--manifest <file>", "what it reads, writes and needs: JSON")
    .option("-o, --output <file>", "where the artifact goes (default: NAME.vespid.wasm here)")
    .option("--json", "print the result as JSON")
    .description("make an artifact of a filter that is not written in TypeScript")
    .action(runWrap);
}

async function runWrap(path: string, options: WrapOptions): Promise<void> {
  for (const file of [path, options.manifest]) {
    if (!(await Bun.file(file).exists())) return fail([{ path: file, message: "is not there" }], options);
  }
  let given: unknown;
  try {
    given = await Bun.file(options.manifest).json();
  } catch (error) {
    return fail([{ path: options.manifest, message: `is not JSON: ${String(error)}` }], options);
  }
  const wrapped = wrapComponent(await Bun.file(path).bytes(), given);
  if (!wrapped.ok) return fail(wrapped.problems, options);
  const { manifest, digest, component } = wrapped.value;
  const output = options.output ?? `${manifest.name}.vespid.wasm`;
  await Bun.write(output, component);
  if (options.json === true) return print({ output, digest, manifest });
  tell(`wrapped ${manifest.name}: ${output}, ${Math.ceil(component.length / 1000)} kB`);
  tell(`  ${digest}`);
  return undefined;
}
