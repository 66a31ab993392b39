// URL and URLSearchParams (WHATWG URL). URLs are taken apart by the proxy, parameters here.
import { requireHost } from "../host.ts";
import { parseForm, renderForm } from "./form.ts";

type Pairs = [string, string][];
type Init = string | Iterable<readonly [string, string]> | Readonly<Record<string, string>>;

/** Parameters of a query. */
export class URLSearchParams {
  #pairs: Pairs;
  /** Told of each change: the URL that these belong to. */
  #changed: (() => void) | undefined = undefined;

  constructor(init: Init | URLSearchParams = "") {
    if (typeof init === "string") this.#pairs = parseForm(init.startsWith("?") ? init.slice(1) : init);
    else if (isIterable(init)) this.#pairs = Array.from(init, ([name, value]) => [name, value]);
    else this.#pairs = Object.entries(init);
  }

  get size(): number {
    return this.#pairs.length;
  }

  get(name: string): string | null {
    return this.#pairs.find(([each]) => each === name)?.[1] ?? null;
  }

  getAll(name: string): string[] {
    return this.#pairs.filter(([each]) => each === name).map(([, value]) => value);
  }

  has(name: string, value?: string): boolean {
    return this.#pairs.some(([each, its]) => each === name && (value === undefined || its === value));
  }

  append(name: string, value: string): void {
    this.#pairs.push([name, value]);
    this.#changed?.();
  }

  delete(name: string, value?: string): void {
    this.#pairs = this.#pairs.filter(([each, its]) => each !== name || (value !== undefined && its !== value));
    this.#changed?.();
  }

  set(name: string, value: string): void {
    const at = this.#pairs.findIndex(([each]) => each === name);
    if (at < 0) this.#pairs.push([name, value]);
    else this.#pairs = this.#pairs.flatMap((pair, index) => this.#replaced(pair, index, { at, name, value }));
    this.#changed?.();
  }

  sort(): void {
    // By UTF-16 units, and equal names keep their order.
    this.#pairs.sort(([a], [b]) => (a < b ? -1 : Number(a > b)));
    this.#changed?.();
  }

  forEach(visit: (value: string, name: string, params: URLSearchParams) => void): void {
    for (const [name, value] of this.#pairs) visit(value, name, this);
  }

  keys(): IteratorObject<string, undefined> {
    return this.#pairs.values().map(([name]) => name);
  }

  values(): IteratorObject<string, undefined> {
    return this.#pairs.values().map(([, value]) => value);
  }

  entries(): IteratorObject<[string, string], undefined> {
    return this.#pairs.values().map(([name, value]): [string, string] => [name, value]);
  }

  [Symbol.iterator](): IteratorObject<[string, string], undefined> {
    return this.entries();
  }

  toString(): string {
    return renderForm(this.#pairs);
  }

  /** The URL's alone. */
  static bind(params: URLSearchParams, changed: () => void): void {
    params.#changed = changed;
  }

  /** The URL's alone: its query was set. */
  static reset(params: URLSearchParams, query: string): void {
    params.#pairs = parseForm(query);
  }

  #replaced(
    pair: [string, string],
    index: number,
    { at, name, value }: { readonly at: number; readonly name: string; readonly value: string },
  ): Pairs {
    if (index === at) return [[pair[0], value]];
    return pair[0] === name ? [] : [pair];
  }
}

/** The parts of a URL, in the order in which the proxy answers them. */
const PARTS = [
  "href",
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
  "origin",
] as const;
type Part = (typeof PARTS)[number];

/** A URL and its parts. */
export class URL {
  #parts: Readonly<Record<Part, string>>;
  #params: URLSearchParams | undefined = undefined;

  constructor(url: string | URL, base?: string | URL) {
    const asked = base === undefined ? ["parse", String(url)] : ["parse", String(url), String(base)];
    const parts = ask(asked);
    if (parts === undefined) throw new TypeError(`${JSON.stringify(String(url))} is not a valid URL`);
    this.#parts = parts;
  }

  static canParse(url: string | URL, base?: string | URL): boolean {
    return URL.parse(url, base) !== null;
  }

  static parse(url: string | URL, base?: string | URL): URL | null {
    try {
      return new URL(url, base);
    } catch {
      // Not a valid URL.
      return null;
    }
  }

  get href(): string {
    return this.#parts.href;
  }
  set href(value: string) {
    if (!this.#set("href", value)) throw new TypeError(`${JSON.stringify(value)} is not a valid URL`);
  }
  get origin(): string {
    return this.#parts.origin;
  }
  get protocol(): string {
    return this.#parts.protocol;
  }
  set protocol(value: string) {
    this.#set("protocol", value);
  }
  get username(): string {
    return this.#parts.username;
  }
  set username(value: string) {
    this.#set("username", value);
  }
  get password(): string {
    return this.#parts.password;
  }
  set password(value: string) {
    this.#set("password", value);
  }
  get host(): string {
    return this.#parts.host;
  }
  set host(value: string) {
    this.#set("host", value);
  }
  get hostname(): string {
    return this.#parts.hostname;
  }
  set hostname(value: string) {
    this.#set("hostname", value);
  }
  get port(): string {
    return this.#parts.port;
  }
  set port(value: string) {
    this.#set("port", value);
  }
  get pathname(): string {
    return this.#parts.pathname;
  }
  set pathname(value: string) {
    this.#set("pathname", value);
  }
  get search(): string {
    return this.#parts.search;
  }
  set search(value: string) {
    this.#set("search", value);
  }
  get hash(): string {
    return this.#parts.hash;
  }
  set hash(value: string) {
    this.#set("hash", value);
  }

  get searchParams(): URLSearchParams {
    if (this.#params === undefined) {
      const params = new URLSearchParams(this.search);
      URLSearchParams.bind(params, () => {
        this.#parts = ask(["set", this.href, "search", params.toString()]) ?? this.#parts;
      });
      this.#params = params;
    }
    return this.#params;
  }

  toString(): string {
    return this.href;
  }

  toJSON(): string {
    return this.href;
  }

  #set(part: Part, value: string): boolean {
    const parts = ask(["set", this.href, part, value]);
    if (parts === undefined) return false;
    this.#parts = parts;
    if (this.#params !== undefined) URLSearchParams.reset(this.#params, this.search.slice(1));
    return true;
  }
}

/** The parts of what the proxy made of it; `undefined` where it is no URL. */
function ask(asked: readonly string[]): Readonly<Record<Part, string>> | undefined {
  let answer: string;
  try {
    answer = requireHost().text("url", JSON.stringify(asked));
  } catch (error) {
    if (error instanceof Error && error.message.endsWith("not a valid url")) return undefined;
    throw error;
  }
  const values: unknown = JSON.parse(answer);
  const parts = PARTS.map((name, index) => [name, Array.isArray(values) ? String(values[index]) : ""]);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- One entry for each part, as listed.
  return Object.fromEntries(parts) as Record<Part, string>;
}

function isIterable(value: unknown): value is Iterable<readonly [string, string]> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}
