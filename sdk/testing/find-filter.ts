// The file of a filter that a test imported: the sandbox is given source, not an object.
import { fileURLToPath } from "node:url";
import type { AnyFilter } from "../define-filter.ts";

/** The path of the module whose default export `filter` is. Throws where there is none, and says what to give instead. */
export function findFilterFile(filter: AnyFilter, given: string | URL | undefined): string {
  if (given !== undefined) return given instanceof URL ? fileURLToPath(given) : given;
  for (const [path, module] of Object.entries(require.cache)) {
    if (defaultOf(module?.exports) === filter) return path;
  }
  throw new Error(
    `the file of filter ${JSON.stringify(filter.name)} was not found: no module that is loaded exports it as its default; ` +
      `give it: mount(filter, { file: import.meta.resolve("./filter.ts") })`,
  );
}

function defaultOf(exports: unknown): unknown {
  return typeof exports === "object" && exports !== null && "default" in exports ? exports.default : undefined;
}
