// `bun run filter` as an author runs it, in a folder of the test's own.
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { runProgram, startProgram, type Program } from "./program.ts";
import { ROOT } from "./proxy.ts";
import { makeTempFolder, type TempFolder } from "./temp-folder.ts";

const CLI = join(ROOT, "sdk/build/cli.ts");

/** A folder whose tests find the SDK as an installed package. */
export async function makeAuthorFolder(): Promise<TempFolder> {
  const folder = await makeTempFolder();
  await mkdir(folder.file("node_modules"));
  await symlink(ROOT, folder.file("node_modules/vespid"));
  return folder;
}

/** Runs a subcommand to its end. */
export function runFilterCommand(
  folder: TempFolder,
  args: readonly string[],
): Promise<{ readonly status: number; readonly stdout: string; readonly output: string }> {
  return runProgram([process.execPath, CLI, ...args], { cwd: folder.path });
}

/** Starts one that runs until it is stopped. */
export function startFilterCommand(folder: TempFolder, args: readonly string[]): Program {
  return startProgram([process.execPath, CLI, ...args], { cwd: folder.path });
}
