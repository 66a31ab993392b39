// Files, folders and stdin become the documents that a command sends, each remembering where it came from.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseDocuments } from "../api/body.ts";
import { CommandFailure, EXIT } from "./failure.ts";

export interface SourceDocument {
  /** The file, `stdin` for standard input. */
  readonly source: string;
  /** Which one of its file, from 1. */
  readonly nth: number;
  readonly document: unknown;
}

/** Reads `-` (stdin), files and folders (their .yaml, .yml and .json files, in the order of their names). Every file's problems are thrown at once. */
export async function readDocuments(paths: readonly string[]): Promise<readonly SourceDocument[]> {
  const files = (await Promise.all(paths.map(listFiles))).flat();
  const read = await Promise.all(files.map(readOne));
  const problems = read.flatMap(({ problems: lines }) => lines);
  if (problems.length > 0) throw new CommandFailure(EXIT.refused, problems);
  const documents = read.flatMap(({ documents: found }) => found);
  if (documents.length === 0) throw new CommandFailure(EXIT.refused, [`${paths.join(", ")}: there is no document`]);
  return documents;
}

/** `VirtualService default/reviews`, as far as the document says it; `document 3` where it says too little. */
export function describe({ document, nth }: SourceDocument): string {
  const { kind, metadata } = fieldsOf(document);
  const { name, namespace } = fieldsOf(metadata);
  if (text(name) === undefined) return text(kind) === undefined ? `document ${nth}` : `document ${nth} (${text(kind)})`;
  return `${text(kind) ?? `document ${nth}`} ${text(namespace) ?? "default"}/${text(name)}`;
}

/** The fields of an object; none of anything else. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

async function listFiles(path: string): Promise<readonly string[]> {
  if (path === "-") return [path];
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = await readdir(path);
    return names
      .filter((name) => /\.(?:ya?ml|json)$/u.test(name))
      .toSorted()
      .map((name) => join(path, name));
  } catch (error) {
    throw new CommandFailure(EXIT.usage, [`${path} cannot be read: ${messageOf(error)}`]);
  }
}

async function readOne(path: string): Promise<{ documents: readonly SourceDocument[]; problems: readonly string[] }> {
  const source = path === "-" ? "stdin" : path;
  let content: string;
  try {
    content = path === "-" ? await Bun.stdin.text() : await readFile(path, "utf8");
  } catch (error) {
    return { documents: [], problems: [`${source} cannot be read: ${messageOf(error)}`] };
  }
  const parsed = parseDocuments(content, path.endsWith(".json") ? "json" : "yaml");
  if (!parsed.ok) return { documents: [], problems: parsed.problems.map(({ message }) => `${source}: ${message}`) };
  return { documents: parsed.value.map((document, index) => ({ source, nth: index + 1, document })), problems: [] };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
