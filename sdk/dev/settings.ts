// A filter's configuration in `filter dev`: a file, and single values over it.
import type { Parsed, Problem } from "../../runtime/contract/problem.ts";

export type Config = Readonly<Record<string, unknown>>;

/** The configuration of a YAML or JSON file (none: empty), with `path=value` over it. */
export async function readConfig(file: string | undefined, sets: readonly string[]): Promise<Parsed<Config>> {
  const base = file === undefined ? { ok: true as const, value: {} } : await readFile(file);
  if (!base.ok) return base;
  const config: Record<string, unknown> = structuredClone(base.value);
  const problems: Problem[] = [];
  for (const text of sets) {
    const [, path = "", value = ""] = /^([^=]+)=(.*)$/su.exec(text) ?? [];
    if (path === "")
      problems.push({ path: "--set", message: `${JSON.stringify(text)} is not PATH=VALUE, such as realm.name=staff` });
    else setAt(config, path.split("."), parseValue(value));
  }
  return problems.length === 0 ? { ok: true, value: config } : { ok: false, problems };
}

async function readFile(file: string): Promise<Parsed<Record<string, unknown>>> {
  try {
    const value: unknown = Bun.YAML.parse(await Bun.file(file).text());
    if (isObject(value)) return { ok: true, value };
    return {
      ok: false,
      problems: [{ path: file, message: "holds no object: write the filter's configuration as YAML or JSON" }],
    };
  } catch (error) {
    // Not there, or not YAML.
    return { ok: false, problems: [{ path: file, message: error instanceof Error ? error.message : String(error) }] };
  }
}

function setAt(config: Record<string, unknown>, [key = "", ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    config[key] = value;
    return;
  }
  const inner = config[key];
  const child: Record<string, unknown> = isObject(inner) ? inner : {};
  config[key] = child;
  setAt(child, rest, value);
}

/** `3`, `true` and `["a"]` are what JSON says; anything else is text. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A text without quotes.
    return text;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
