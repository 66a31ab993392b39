// Headers (WHATWG Fetch): names without case, fields of one name joined, in the order of names.

type Init = Headers | Iterable<readonly [string, string]> | Readonly<Record<string, string>>;

const TOKEN = /^[\w!#$%&'*+\-.^`|~]+$/u;
const FORBIDDEN = /[\0\r\n]|[^\0-\xff]/u;

/** Fields by name. */
export class Headers {
  readonly #fields = new Map<string, string[]>();

  constructor(init: Init = {}) {
    const pairs = isIterable(init) ? init : Object.entries(init);
    for (const [name, value] of pairs) this.append(name, value);
  }

  get(name: string): string | null {
    return this.#fields.get(keyOf(name))?.join(", ") ?? null;
  }

  has(name: string): boolean {
    return this.#fields.has(keyOf(name));
  }

  getSetCookie(): string[] {
    return [...(this.#fields.get("set-cookie") ?? [])];
  }

  set(name: string, value: string): void {
    this.#fields.set(keyOf(name), [checked(name, value)]);
  }

  append(name: string, value: string): void {
    const key = keyOf(name);
    const values = this.#fields.get(key);
    if (values === undefined) this.#fields.set(key, [checked(name, value)]);
    else values.push(checked(name, value));
  }

  delete(name: string): void {
    this.#fields.delete(keyOf(name));
  }

  forEach(visit: (value: string, name: string, headers: Headers) => void): void {
    for (const [name, value] of this) visit(value, name, this);
  }

  keys(): IteratorObject<string, undefined> {
    return this.entries().map(([name]) => name);
  }

  values(): IteratorObject<string, undefined> {
    return this.entries().map(([, value]) => value);
  }

  entries(): IteratorObject<[string, string], undefined> {
    const sorted: [string, string][] = [];
    for (const name of [...this.#fields.keys()].toSorted()) {
      const values = this.#fields.get(name) ?? [];
      // Each cookie is a field of its own: joined they could not be told apart.
      for (const value of name === "set-cookie" ? values : [values.join(", ")]) sorted.push([name, value]);
    }
    return sorted.values();
  }

  [Symbol.iterator](): IteratorObject<[string, string], undefined> {
    return this.entries();
  }
}

function keyOf(name: string): string {
  if (!TOKEN.test(name)) throw new TypeError(`${JSON.stringify(name)} is not the name of a field`);
  return name.toLowerCase();
}

function checked(name: string, value: string): string {
  const text = value.replaceAll(/^[\t\n\r ]+|[\t\n\r ]+$/gu, "");
  if (FORBIDDEN.test(text)) throw new TypeError(`the value of ${name} cannot be in a field`);
  return text;
}

function isIterable(value: unknown): value is Iterable<readonly [string, string]> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}
