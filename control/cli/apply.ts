// `vespid apply`: every document of every file, all or none.
import { z } from "zod";
import { ask, ControlRefusal, type Target } from "./client.ts";
import { describe, readDocuments, type SourceDocument } from "./documents.ts";
import { CommandFailure } from "./failure.ts";

const Applied = z.object({
  revision: z.number(),
  results: z.array(z.object({ kind: z.string(), namespace: z.string(), name: z.string(), action: z.string() })),
  warnings: z.array(z.object({ path: z.string(), message: z.string() })),
});

export interface Printed {
  readonly json: unknown;
  readonly lines: readonly string[];
  /** For stderr. */
  readonly notes: readonly string[];
}

/** Sends the files' documents as one change. */
export async function apply(target: Target, paths: readonly string[], isDryRun: boolean): Promise<Printed> {
  const documents = await readDocuments(paths);
  const body = documents.map(({ document }) => document);
  try {
    const path = `/v1/apply?dryRun=${isDryRun}`;
    const applied = await ask(target, Applied, { method: "POST", path, body });
    return {
      json: applied,
      lines: applied.results.map(({ kind, namespace, name, action }) => {
        return `${kind} ${namespace}/${name} ${action}${isDryRun ? " (dry run)" : ""}`;
      }),
      notes: applied.warnings.map(({ path: at, message }) => `warning: ${locate(documents, at)}: ${message}`),
    };
  } catch (error) {
    if (!(error instanceof ControlRefusal) || error.problems.length === 0) throw error;
    const lines = error.problems.map(({ path: at, message }) => `${locate(documents, at)}: ${message}`);
    const problems = error.problems.map((problem) => ({
      source: documentAt(documents, problem.path)?.source,
      ...problem,
    }));
    throw new CommandFailure(error.exitCode, [...lines, "nothing was applied"], { problems });
  }
}

/** `[2].spec.hosts` is a path into what was sent; people know files. */
function locate(documents: readonly SourceDocument[], path: string): string {
  const document = documentAt(documents, path);
  if (document === undefined) return path;
  const inside = path.replace(/^\[\d+\]\.?/u, "");
  return `${document.source}: ${describe(document)}${inside === "" ? "" : `: ${inside}`}`;
}

function documentAt(documents: readonly SourceDocument[], path: string): SourceDocument | undefined {
  const [, index] = /^\[(\d+)\]/u.exec(path) ?? [];
  return index === undefined && documents.length === 1 ? documents[0] : documents[Number(index)];
}
