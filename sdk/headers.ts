// The fields of a message as a handler sees them: reads come from the message, edits are kept until the verdict, and
// what was edited reads back as edited. The same class runs in the sandbox and natively.
import { ATTRIBUTES, METADATA_PREFIX } from "./wit/world.ts";

/**
 * How fields are read from what a message is made of: a head that crossed into the sandbox, or the proxy's own exchange.
 * Made once for a filter, so that a call allocates no more than its message.
 */
export interface Lookup<Of> {
  /** Several fields of a name joined with `", "`. The name is in lower case. */
  get(of: Of, name: string): string | undefined;
  /** Each field of that name by itself. */
  getAll(of: Of, name: string): readonly string[];
  /** Names of the fields that may be read, in lower case; repeated ones, and attributes, may be among them. */
  names(of: Of): readonly string[];
}

/** One change to a head: in the words of the WIT's edits. */
export type EditKind = "set" | "add" | "remove";

/** `Headers` as the web has them, narrowed to what the filter declared. Names are in lower case. */
export interface FilterHeaders<Read extends string, Write extends string> {
  /** The value, several fields of that name joined with `", "`; `null` where there is none. */
  get(name: Read): string | null;
  has(name: Read): boolean;
  /** Names of the fields that may be read, each once. */
  keys(): string[];
  /** Each `Set-Cookie` by itself. */
  getSetCookie(this: FilterHeaders<"set-cookie" | Read, Write>): string[];
  /** Replaces every field of that name. */
  set(name: Write, value: string): void;
  /** Adds a field after those of that name. */
  append(name: Write, value: string): void;
  /** Removes every field of that name. */
  delete(name: Write): void;
}

/** Fields of one message and the edits to them. What is private is not `#private`: an interpreter pays for that at each access. */
export class EditableHeaders<Of = unknown> implements FilterHeaders<string, string> {
  /** @internal */
  readonly lookup: Lookup<Of>;
  /** @internal What `lookup` reads. */
  readonly of: Of;
  /** Three entries an edit: kind, name, value. Flat, since this is filled and read once for every call. */
  readonly edits: string[];

  constructor(lookup: Lookup<Of>, of: Of) {
    this.lookup = lookup;
    this.of = of;
    this.edits = [];
  }

  /** What the message came with, whatever was edited since. */
  original(name: string): string | undefined {
    return this.lookup.get(this.of, name);
  }

  get(name: string): string | null {
    const original = this.original(name);
    if (this.edits.length === 0) return original ?? null;
    const values = replay(this.edits, name, original === undefined ? [] : [original]);
    return values.length === 0 ? null : values.join(", ");
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }

  keys(): string[] {
    const names = new Set(this.lookup.names(this.of));
    for (let index = 0; index < this.edits.length; index += 3) {
      const name = this.edits[index + 1] ?? "";
      if (this.edits[index] === "remove") names.delete(name);
      else names.add(name);
    }
    return [...names].filter((name) => !isAttribute(name));
  }

  getSetCookie(): string[] {
    return replay(this.edits, "set-cookie", this.lookup.getAll(this.of, "set-cookie"));
  }

  set(name: string, value: string): void {
    addEdit(this.edits, "set", name, value);
  }

  append(name: string, value: string): void {
    addEdit(this.edits, "add", name, value);
  }

  delete(name: string): void {
    addEdit(this.edits, "remove", name, "");
  }
}

/** One value after the other: JavaScriptCore's JIT pushes one itself, and calls for several. */
function addEdit(edits: string[], kind: EditKind, name: string, value: string): void {
  const text = checked(name, value);
  edits.push(kind);
  edits.push(name);
  edits.push(text);
}

/** Values of a field after the edits. */
function replay(edits: readonly string[], name: string, original: readonly string[]): string[] {
  let values = [...original];
  for (let index = 0; index < edits.length; index += 3) {
    if (edits[index + 1] !== name) continue;
    const value = edits[index + 2] ?? "";
    if (edits[index] === "add") values.push(value);
    else values = edits[index] === "set" ? [value] : [];
  }
  return values;
}

/** Heads hold attributes beside fields, and edits too. */
function isAttribute(name: string): boolean {
  // Most names are told apart at a glance, which matters to an interpreter.
  if (!name.includes(".") && !name.startsWith(":")) return false;
  return name.startsWith(METADATA_PREFIX) || ATTRIBUTES.some((attribute) => attribute === name);
}

/** Names repeat from call to call, and a comparison costs the interpreter a third of a search. */
let checkedName = "";

/** An edit is a line: a name or value that held LF (decoded from a credential, say) would forge the next one. */
function checked(name: string, value: string): string {
  const text = typeof value === "string" ? value : String(value);
  if (text.includes("\n") || (name !== checkedName && name.includes("\n")))
    throw new TypeError(`${name}: a field holds no line break`);
  checkedName = name;
  return text;
}
