// What the proxy says of a document, whatever the document is.
import type { JsonSchema, SchemaProblem } from "../../sdk/index.ts";

const NONE: readonly SchemaProblem[] = [];

/** What is wrong with a document; one that is too deep or takes too long is wrong as a whole. */
export function problemsOf(schema: JsonSchema | undefined, document: string | Uint8Array): readonly SchemaProblem[] {
  if (schema === undefined) return NONE;
  try {
    return schema.check(document);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const [, reason] = /^json-schema: document (.*)$/u.exec(message) ?? [];
    if (reason === undefined) throw error;
    return [{ path: "", message: reason }];
  }
}

/** The steps of a JSON pointer (RFC 6901). */
export function parsePointer(pointer: string): readonly string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}
