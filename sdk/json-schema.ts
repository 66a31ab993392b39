// JSON Schema, checked by the proxy.
import { requireHost } from "./host.ts";

/** One thing that is wrong with a document. */
export interface SchemaProblem {
  /** Where: a JSON pointer, empty for the whole. */
  readonly path: string;
  /** What: `must be integer, is string`. */
  readonly message: string;
}

/** A schema. Its methods throw where it is none, or where it and a document are too large for each other. */
export interface JsonSchema {
  /** What is wrong with a document; none where it fits. Text or bytes of JSON, up to 1 MiB. At most 20 are told. */
  check(document: string | Uint8Array): readonly SchemaProblem[];
}

/**
 * A schema of JSON Schema 2020-12 or draft 7, or of OpenAPI: as an object, or as text, up to 128 KiB. Patterns are matched
 * in linear time; `$ref` leads to parts of the same schema; `$dynamicRef` and `unevaluated…` are refused. It may be made
 * while a filter is loaded, and is compiled when it is used.
 */
export function jsonSchema(schema: Readonly<Record<string, unknown>> | boolean | string): JsonSchema {
  const source = typeof schema === "string" ? schema : JSON.stringify(schema);
  let name: string | undefined = undefined;

  function ask(document: string | Uint8Array): string {
    const host = requireHost();
    name ??= host.text("json-schema-compile", source);
    return typeof document === "string"
      ? host.text("json-schema", `${name}\n${document}`)
      : host.text("json-schema", name, document);
  }

  return {
    check(document) {
      let answer: string;
      try {
        answer = ask(document);
      } catch (error) {
        // The proxy keeps so many schemas; this one had to make room.
        if (!(error instanceof Error && error.message === "json-schema: schema is not known")) throw error;
        name = undefined;
        answer = ask(document);
      }
      if (answer === "[]") return [];
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- The proxy's own answer.
      const problems = JSON.parse(answer) as readonly (readonly [string, string])[];
      return problems.map(([path, message]) => ({ path, message }));
    },
  };
}
