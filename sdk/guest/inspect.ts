// Values as `console` writes them: what an author wants to see of an object, on one line and with bounds.

const DEPTH_MAX = 4;
const ENTRIES_MAX = 50;

/** A value as text; strings as they are, and in quotes inside of others. */
export function inspect(value: unknown): string {
  return typeof value === "string" ? value : render(value, []);
}

function render(value: unknown, around: readonly object[]): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `[function ${value.name || "without a name"}]`;
  if (typeof value !== "object" || value === null) return String(value);
  if (around.includes(value)) return "[circular]";
  if (value instanceof Error) return renderError(value, around);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (around.length >= DEPTH_MAX) return Array.isArray(value) ? "[…]" : "{…}";
  const inside = [...around, value];
  if (Array.isArray(value)) return `[${list(value, (each) => render(each, inside))}]`;
  if (value instanceof Map) {
    const entries = list([...value], ([key, each]) => `${render(key, inside)} => ${render(each, inside)}`);
    return `Map(${value.size}) {${entries}}`;
  }
  if (value instanceof Set) return `Set(${value.size}) {${list([...value], (each) => render(each, inside))}}`;
  if (value instanceof Uint8Array) return `Uint8Array(${value.length}) <${value.subarray(0, ENTRIES_MAX).toHex()}>`;
  const name: unknown = value.constructor?.name;
  const prefix = typeof name === "string" && name !== "Object" ? `${name} ` : "";
  const fields = list(Object.entries(value), ([key, each]) => `${key}: ${render(each, inside)}`);
  return `${prefix}{${fields}}`;
}

function renderError(error: Error, around: readonly object[]): string {
  const stack = error.stack ?? "";
  const cause = error.cause === undefined ? "" : `\ncause: ${render(error.cause, [...around, error])}`;
  // The engine's stack is the frames alone.
  return `${String(error)}${stack === "" ? "" : `\n${stack}`}${cause}`;
}

function list<Entry>(entries: readonly Entry[], renderEntry: (entry: Entry) => string): string {
  const shown = entries.slice(0, ENTRIES_MAX).map((entry) => renderEntry(entry));
  if (entries.length > ENTRIES_MAX) shown.push(`… ${entries.length - ENTRIES_MAX} more`);
  return shown.join(", ");
}
