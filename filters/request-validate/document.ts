// An OpenAPI document as it is read: each part with its place, so that what is wrong with it can be told by its JSON pointer.

/** A part of the document. */
export class Node {
  readonly value: unknown;
  readonly #parent: Node | undefined;
  readonly #key: string;

  constructor(value: unknown, parent?: Node, key = "") {
    this.value = value;
    this.#parent = parent;
    this.#key = key;
  }

  /** Where: a JSON pointer (RFC 6901) behind `#`. Rendered when it is asked for: a document has thousands of parts. */
  get pointer(): string {
    return this.#parent === undefined
      ? "#"
      : `${this.#parent.pointer}/${this.#key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
  }
}

/** Something in the document that cannot be used. */
export class DocumentFault extends Error {
  readonly pointer: string;

  constructor(pointer: string, message: string) {
    super(message);
    this.pointer = pointer;
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** References that lead from one to another, at most. */
const REFERENCES_MAX = 32;

/** The whole of it, and where its references lead. */
export class Document {
  readonly root: Node;

  constructor(value: Fields) {
    this.root = new Node(value);
  }

  /** The part that a reference object leads to, or the part itself. Throws `DocumentFault` where there is none. */
  resolve(node: Node): Node {
    let found = node;
    for (let step = 0; step < REFERENCES_MAX; step++) {
      const reference = isFields(found.value) ? found.value["$ref"] : undefined;
      if (reference === undefined) return found;
      found = this.follow(reference, found);
    }
    throw new DocumentFault(node.pointer, `$ref leads to more than ${REFERENCES_MAX} others, or to itself`);
  }

  /** The part that the `$ref` of a place names. */
  follow(reference: unknown, from: Node): Node {
    if (typeof reference !== "string") throw new DocumentFault(from.pointer, "$ref must be a text");
    if (!reference.startsWith("#/")) {
      const message = `$ref ${JSON.stringify(reference)} must lead to a part of this document: #/…`;
      throw new DocumentFault(from.pointer, message);
    }
    let node = this.root;
    for (const step of decode(reference.slice(2)).split("/")) {
      const next = child(node, step.replaceAll("~1", "/").replaceAll("~0", "~"));
      if (next === undefined) throw new DocumentFault(from.pointer, `$ref ${JSON.stringify(reference)} leads nowhere`);
      node = next;
    }
    return node;
  }
}

/** A member or an element; `undefined` where it is not there. */
export function child(node: Node, key: string): Node | undefined {
  const { value } = node;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return new Node(Reflect.get(value, key), node, key);
}

/** A part's members. Throws `DocumentFault` where it is no object. */
export function fieldsOf(node: Node): Fields {
  if (!isFields(node.value)) throw new DocumentFault(node.pointer, "must be an object");
  return node.value;
}

/** Members as parts; none of an absent one. */
export function members(node: Node | undefined): readonly (readonly [string, Node])[] {
  if (node === undefined) return [];
  return Object.entries(fieldsOf(node)).map(([key, value]) => [key, new Node(value, node, key)]);
}

/** The same without the specification's extensions (`x-…`), where it has them. */
export function described(node: Node | undefined): readonly (readonly [string, Node])[] {
  return members(node).filter(([key]) => !key.startsWith("x-"));
}

/** Elements as parts; none of an absent one. */
export function elements(node: Node | undefined): readonly Node[] {
  if (node === undefined) return [];
  const { value } = node;
  if (!Array.isArray(value)) throw new DocumentFault(node.pointer, "must be a list");
  return value.map((element: unknown, index) => new Node(element, node, String(index)));
}

/** A member that is a text; `undefined` where it is absent. */
export function textOf(node: Node, key: string): string | undefined {
  const found = child(node, key);
  if (found === undefined) return undefined;
  if (typeof found.value !== "string") throw new DocumentFault(found.pointer, "must be a text");
  return found.value;
}

/** A member that is true or false; `otherwise` where it is absent. */
export function flagOf(node: Node, key: string, otherwise: boolean): boolean {
  const found = child(node, key);
  if (found === undefined) return otherwise;
  if (typeof found.value !== "boolean") throw new DocumentFault(found.pointer, "must be true or false");
  return found.value;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function decode(pointer: string): string {
  try {
    return decodeURIComponent(pointer);
  } catch {
    // Not percent-coded; then it names nothing.
    return pointer;
  }
}
