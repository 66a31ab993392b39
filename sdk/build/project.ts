// A filter's files on disk: where one begins, and where it is found.
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Parsed, Problem } from "../../runtime/contract/problem.ts";
import { renderTemplate, type TemplateName } from "./template.ts";

const NAME = /^[a-z][a-z0-9-]{0,62}$/u;

/** Writes a new filter into `folder/name`; returns the files. */
export async function writeNewFilter(
  name: string,
  template: TemplateName,
  folder: string,
): Promise<Parsed<readonly string[]>> {
  if (!NAME.test(name)) {
    const message = `${JSON.stringify(name)} must be lower-case letters, digits and dashes, starting with a letter, 63 at most`;
    return fault("name", message);
  }
  const path = join(folder, name);
  if (await exists(path)) return fault("name", `${path} is there already; choose another name`);
  await mkdir(path, { recursive: true });
  const files = await renderTemplate(template, name);
  for (const [file, text] of Object.entries(files)) await Bun.write(join(path, file), text);
  return { ok: true, value: Object.keys(files).map((file) => join(name, file)) };
}

/** The file that a path means: itself, or `filter.ts` in the folder. */
export async function findFilterFile(path: string): Promise<Parsed<string>> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return fault(path, `is not there; "filter new ${path}" writes a filter`);
  if (!found.isDirectory()) {
    return /\.[cm]?[jt]s$/u.test(path)
      ? { ok: true, value: path }
      : fault(path, "is no TypeScript; a filter is a .ts file, or a folder that holds filter.ts");
  }
  const file = join(path, "filter.ts");
  return (await exists(file)) ? { ok: true, value: file } : fault(path, "holds no filter.ts");
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function fault(path: string, message: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ path, message }] };
}
