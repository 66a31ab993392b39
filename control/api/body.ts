// Bodies become documents: JSON, or YAML of one or several documents. Syntax errors say line and column.
import { LineCounter, parseAllDocuments } from "yaml";
import type { Parsed, Problem } from "../../runtime/contract/problem.ts";

/** YAML documents of one body. */
const DOCUMENTS_MAX = 10_000;
/** Characters that the documents of one body stand for: as many as a body may have. A few aliases make gigabytes of megabytes. */
const CHARACTERS_MAX = 8 * 1024 * 1024;
/** Levels of one document: what is deeper than any resource would overflow the stack of whoever walks it. */
const DEPTH_MAX = 200;

/** Every document of a YAML stream or, from a JSON text, the one value or the items of the array. Empty documents are left out. */
export function parseDocuments(text: string, format: "json" | "yaml"): Parsed<readonly unknown[]> {
  const parsed = format === "json" ? parseJson(text) : parseYaml(text);
  if (!parsed.ok) return parsed;
  const documents = parsed.value.filter((document) => document !== null && document !== undefined);
  if (documents.length > DOCUMENTS_MAX) {
    return {
      ok: false,
      problems: [{ path: "", message: `has ${documents.length} documents, limit is ${DOCUMENTS_MAX}` }],
    };
  }
  const problem = checkExtent(documents);
  return problem === undefined ? { ok: true, value: documents } : { ok: false, problems: [problem] };
}

/** Counts what the documents hold with every alias followed, and stops where it is too much. */
function checkExtent(documents: readonly unknown[]): Problem | undefined {
  const waiting: { readonly value: unknown; readonly depth: number }[] = [{ value: documents, depth: -1 }];
  let characters = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, depth } = next;
    characters += typeof value === "string" ? value.length : 1;
    if (typeof value === "object" && value !== null) {
      if (depth > DEPTH_MAX) return { path: "", message: `is nested deeper than ${DEPTH_MAX} levels` };
      for (const [key, item] of Object.entries(value)) {
        characters += Array.isArray(value) ? 0 : key.length;
        waiting.push({ value: item, depth: depth + 1 });
      }
    }
    if (characters > CHARACTERS_MAX) {
      return { path: "", message: `stands for more than ${CHARACTERS_MAX} characters with its aliases followed` };
    }
  }
  return undefined;
}

/** By the media type: YAML where it says so, JSON where it says so, YAML (which JSON is) where it says nothing. */
export function formatOf(contentType: string | undefined): "json" | "yaml" | undefined {
  const type = contentType?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (/^application\/(?:.+\+)?json$/u.test(type)) return "json";
  if (/^(?:application|text)\/(?:x-)?yaml$/u.test(type)) return "yaml";
  // What curl and fetch send when nobody said a type.
  return ["", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream"].includes(type)
    ? "yaml"
    : undefined;
}

function parseJson(text: string): Parsed<readonly unknown[]> {
  try {
    const value: unknown = JSON.parse(text);
    return { ok: true, value: Array.isArray(value) ? value : [value] };
  } catch (error) {
    return {
      ok: false,
      problems: [{ path: "", message: `is not JSON: ${error instanceof Error ? error.message : ""}` }],
    };
  }
}

function parseYaml(text: string): Parsed<readonly unknown[]> {
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter, prettyErrors: false, logLevel: "error" });
  const problems: Problem[] = [];
  const values: unknown[] = [];
  for (const document of documents) {
    for (const { message, pos } of [...document.errors, ...document.warnings]) {
      const { line, col } = lineCounter.linePos(pos[0]);
      problems.push({ path: "", message: `line ${line}, column ${col}: ${message}` });
    }
    // Half of a document is nothing to look at.
    if (document.errors.length > 0) continue;
    try {
      // Aliases are bounded: ten lines of YAML can stand for a billion nodes.
      values.push(document.toJS({ maxAliasCount: 100 }));
    } catch (error) {
      problems.push({ path: "", message: error instanceof Error ? error.message : String(error) });
    }
  }
  return problems.length === 0 ? { ok: true, value: values } : { ok: false, problems };
}
