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
  /** A part of it by its JSON pointer, `/$defs/user` say, which may refer to all of it. It is compiled when it is used. */
  at(pointer: string): JsonSchema;
}

/**
 * A schema of JSON Schema 2020-12 or draft 7, or of OpenAPI: as an object, or as text, up to 512 KiB. Patterns are matched
 * in linear time; `$ref` leads to parts of the same schema; `$dynamicRef` and `unevaluated…` are refused. It may be made
 * while a filter is loaded, and is compiled when it is used.
 */
export function jsonSchema(schema: Readonly<Record<string, unknown>> | boolean | string): JsonSchema {
  const source = typeof schema === "string" ? schema : JSON.stringify(schema);
  let name: string | undefined = undefined;

  function ask(pointer: string, document: string | Uint8Array): string {
    const host = requireHost();
    name ??= host.text("json-schema-compile", source);
    const asked = pointer === "" ? name : `${name} ${encodeURIComponent(pointer)}`;
    return typeof document === "string"
      ? host.text("json-schema", `${asked}\n${document}`)
      : host.text("json-schema", asked, document);
  }

  function partAt(pointer: string): JsonSchema {
    return {
      check(document) {
        let answer: string;
        try {
          answer = ask(pointer, document);
        } catch (error) {
          // The proxy keeps so many schemas; this one had to make room.
          if (!(error instanceof Error && error.message === "json-schema: schema is not known")) throw error;
          name = undefined;
          answer = ask(pointer, document);
        }
        if (answer === "[]") return [];
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- The proxy's own answer.
        const problems = JSON.parse(answer) as readonly (readonly [string, string])[];
        return problems.map(([path, message]) => ({ path, message }));
      },
      at: (below) => partAt(pointer + below),
    };
  }

  return partAt("");
}
