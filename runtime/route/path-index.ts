// Finds, of many rules in order, the first that may fit a path, without asking each: a radix tree over the literal texts
// that paths must equal or begin with. It only narrows; whether a rule fits is asked of the rule itself.

const SLASH = 47;

interface Node<Rule> {
  /** Text of the edge that leads here. */
  label: string;
  /** By the first code unit of their labels, which all differ. */
  children: Map<number, Node<Rule>>;
  /** Rules for paths that begin with the text up to here, and for paths that end here, each in order. */
  readonly prefixes: Entry<Rule>[];
  readonly exacts: Entry<Rule>[];
}

interface Entry<Rule> {
  readonly order: number;
  readonly rule: Rule;
  readonly need: PathNeed;
}

/** What a rule asks of a path. */
export interface PathNeed {
  /** It is the text, begins with it, or begins with it as whole segments (`/api` and `/api/x`, not `/apiary`). */
  readonly kind: "exact" | "prefix" | "segments";
  /** `""` as a prefix is every path. */
  readonly text: string;
  /** The rule asks nothing else: a path that fits needs no second look. */
  readonly isAll: boolean;
}

/** Rules by the path that they need. Add them in order, then ask. */
export class PathIndex<Rule, Asked> {
  readonly #root: Node<Rule> = buildNode("");
  readonly #fits: (rule: Rule, asked: Asked, path: string) => boolean;

  /** `fits` decides; it is asked of few. */
  constructor(fits: (rule: Rule, asked: Asked, path: string) => boolean) {
    this.#fits = fits;
  }

  /** Adds a rule. Orders must not fall. */
  add(order: number, rule: Rule, need: PathNeed): void {
    const node = reach(this.#root, need.text);
    (need.kind === "exact" ? node.exacts : node.prefixes).push({ order, rule, need });
  }

  /** The rule of the lowest order that fits. */
  first(asked: Asked, path: string): Rule | undefined {
    let best = this.#better(this.#root.prefixes, undefined, asked, path, 0);
    let node = this.#root;
    let at = 0;
    while (at < path.length) {
      const child = node.children.get(path.charCodeAt(at));
      if (child === undefined || !path.startsWith(child.label, at)) return best?.rule;
      at += child.label.length;
      node = child;
      best = this.#better(node.prefixes, best, asked, path, at);
    }
    return this.#better(node.exacts, best, asked, path, at)?.rule;
  }

  #better(
    entries: readonly Entry<Rule>[],
    best: Entry<Rule> | undefined,
    asked: Asked,
    path: string,
    at: number,
  ): Entry<Rule> | undefined {
    for (const entry of entries) {
      if (best !== undefined && entry.order >= best.order) return best;
      const { kind, isAll } = entry.need;
      if (kind === "segments" && at < path.length && path.charCodeAt(at) !== SLASH) continue;
      if (isAll || this.#fits(entry.rule, asked, path)) return entry;
    }
    return best;
  }
}

function buildNode<Rule>(label: string): Node<Rule> {
  return { label, children: new Map(), prefixes: [], exacts: [] };
}

/** The node of a text, made where there is none; an edge that shares only its beginning is split. */
function reach<Rule>(root: Node<Rule>, text: string): Node<Rule> {
  let node = root;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    const child = node.children.get(code);
    if (child === undefined) {
      const leaf = buildNode<Rule>(text.slice(at));
      node.children.set(code, leaf);
      return leaf;
    }
    const shared = sharedLength(child.label, text, at);
    if (shared < child.label.length) {
      const upper = buildNode<Rule>(child.label.slice(0, shared));
      child.label = child.label.slice(shared);
      upper.children.set(child.label.charCodeAt(0), child);
      node.children.set(code, upper);
      node = upper;
    } else {
      node = child;
    }
    at += shared;
  }
  return node;
}

function sharedLength(label: string, text: string, at: number): number {
  let length = 0;
  while (length < label.length && label.charCodeAt(length) === text.charCodeAt(at + length)) length++;
  return length;
}
