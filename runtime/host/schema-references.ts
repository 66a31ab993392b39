// Where `$ref` leads: to a part of the same schema, by its place, its anchor or its id. Nothing is fetched.
import { isObject, SchemaFault } from "./schema-node.ts";

const BASE = "https://schema.invalid/";
const DEPTH_MAX = 64;
const NODES_MAX = 50_000;
/** Of an id and of a reference: each is resolved against the id around it, which a long one would make a copy of for each. */
const ID_MAX_LENGTH = 512;
const REFERENCE_MAX_LENGTH = 2048;

/** The parts of one schema that have names. */
export class References {
  readonly #named = new Map<string, unknown>();
  readonly #bases = new Map<object, string>();
  readonly #root: unknown;
  #nodes = 0;

  /** Throws `SchemaFault` where the schema is too large or too deep. */
  constructor(root: unknown) {
    this.#root = root;
    this.#named.set(BASE, root);
    this.#walk(root, BASE, 0);
  }

  /** The schema that a reference inside of `from` names. Throws `SchemaFault` where there is none. */
  resolve(reference: string, from: object): unknown {
    if (reference.length > REFERENCE_MAX_LENGTH)
      throw new SchemaFault(`$ref is ${reference.length} long, limit is ${REFERENCE_MAX_LENGTH}`);
    const url = URL.parse(reference, this.#bases.get(from) ?? BASE);
    if (url === null) throw new SchemaFault(`$ref ${JSON.stringify(reference)} is no reference`);
    const fragment = decode(url.hash.slice(1));
    url.hash = "";
    const named = this.#named.get(fragment === "" || fragment.startsWith("/") ? url.href : `${url.href}#${fragment}`);
    const found = fragment.startsWith("/") ? follow(named, fragment) : named;
    if (found === undefined)
      throw new SchemaFault(`$ref ${JSON.stringify(reference)} leads nowhere; other documents are not fetched`);
    return found;
  }

  /** The part of the whole that a pointer leads to. Throws `SchemaFault` where there is none. */
  follow(pointer: string): unknown {
    const found = pointer === "" || pointer.startsWith("/") ? follow(this.#root, pointer) : undefined;
    if (found === undefined) throw new SchemaFault(`part ${JSON.stringify(pointer.slice(0, 100))} is not there`);
    return found;
  }

  #walk(node: unknown, base: string, depth: number): void {
    if (typeof node !== "object" || node === null) return;
    if (++this.#nodes > NODES_MAX) throw new SchemaFault(`schema has more than ${NODES_MAX} parts`);
    if (depth > DEPTH_MAX) throw new SchemaFault(`schema is nested more than ${DEPTH_MAX} deep`);
    let own = base;
    if (isObject(node)) {
      const { $id: id, $anchor: anchor } = node;
      if (typeof id === "string" && id.length > ID_MAX_LENGTH)
        throw new SchemaFault(`$id is ${id.length} long, limit is ${ID_MAX_LENGTH}`);
      const url = typeof id === "string" ? URL.parse(id, base) : null;
      if (url !== null) {
        own = url.href.replace(/#$/u, "");
        this.#named.set(own, node);
      }
      if (typeof anchor === "string") this.#named.set(`${own}#${anchor}`, node);
    }
    this.#bases.set(node, own);
    for (const part of Object.values(node)) this.#walk(part, own, depth + 1);
  }
}

function follow(node: unknown, pointer: string): unknown {
  let found = node;
  if (pointer === "") return found;
  for (const part of pointer.slice(1).split("/")) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, key)) return undefined;
    found = Reflect.get(found, key);
  }
  return found;
}

function decode(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    // Not percent-coded UTF-8; then it names nothing.
    return fragment;
  }
}
