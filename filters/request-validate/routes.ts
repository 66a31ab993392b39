// Which path of the document a request's is. Literal segments go before templates (OpenAPI, Paths Object), from left to right.
import { DocumentFault } from "./document.ts";

/** A path that matched, with what stands in the places of its parameters, as it was sent. */
export interface Matched<Value> {
  readonly value: Value;
  readonly parameters: ReadonlyMap<string, string>;
}

/** One segment of a template: texts with parameters between them, as `{id}.json` has. */
interface Segment {
  /** One more than there are names. */
  readonly texts: readonly string[];
  readonly names: readonly string[];
}

interface Branch<Value> {
  readonly literals: Map<string, Branch<Value>>;
  /** By what they are without their parameters' names; those with more text first. */
  readonly templates: { readonly segment: Segment; readonly branch: Branch<Value> }[];
  leaf:
    | { readonly template: string; readonly names: readonly (readonly string[])[]; readonly value: Value }
    | undefined;
}

/** Templates and what is behind them. */
export class Routes<Value> {
  readonly #root = emptyBranch<Value>();

  /** Throws `DocumentFault` where the template is none, or the same path as another. */
  add(template: string, value: Value, pointer: string): void {
    let branch = this.#root;
    const names: (readonly string[])[] = [];
    for (const text of template.split("/").slice(1)) {
      const segment = parseSegment(text, pointer);
      names.push(segment.names);
      branch = below(branch, segment);
    }
    if (branch.leaf !== undefined)
      throw new DocumentFault(pointer, `${template} is the same path as ${branch.leaf.template}`);
    if (new Set(names.flat()).size < names.flat().length)
      throw new DocumentFault(pointer, `${template} names a parameter twice`);
    branch.leaf = { template, names, value };
  }

  /** By the segments of a path, as they were sent and decoded. */
  match(sent: readonly string[], decoded: readonly string[]): Matched<Value> | undefined {
    const captured: (readonly string[])[] = [];
    const walk = (branch: Branch<Value>, at: number): Branch<Value> | undefined => {
      if (at === sent.length) return branch.leaf && branch;
      const literal = branch.literals.get(decoded[at] ?? "");
      captured[at] = [];
      const found = literal && walk(literal, at + 1);
      if (found !== undefined) return found;
      for (const { segment, branch: next } of branch.templates) {
        const values = capture(segment, sent[at] ?? "");
        if (values === undefined) continue;
        captured[at] = values;
        const deeper = walk(next, at + 1);
        if (deeper !== undefined) {
          captured[at] = values;
          return deeper;
        }
      }
      return undefined;
    };
    const leaf = walk(this.#root, 0)?.leaf;
    if (leaf === undefined) return undefined;
    const parameters = leaf.names.flatMap((names, at) =>
      names.map((name, index) => [name, captured[at]?.[index] ?? ""] as const),
    );
    return { value: leaf.value, parameters: new Map(parameters) };
  }
}

function emptyBranch<Value>(): Branch<Value> {
  return { literals: new Map(), templates: [], leaf: undefined };
}

function below<Value>(branch: Branch<Value>, segment: Segment): Branch<Value> {
  const [text = ""] = segment.texts;
  if (segment.names.length === 0) {
    const known = branch.literals.get(text) ?? emptyBranch();
    branch.literals.set(text, known);
    return known;
  }
  const shape = shapeOf(segment);
  const known = branch.templates.find((one) => shapeOf(one.segment) === shape);
  if (known !== undefined) return known.branch;
  const made = { segment, branch: emptyBranch<Value>() };
  branch.templates.push(made);
  branch.templates.sort((a, b) => compare(a.segment, b.segment));
  return made.branch;
}

/** More text first; of those with as much, whichever order the document has them in, the same. */
function compare(a: Segment, b: Segment): number {
  const more = b.texts.join("").length - a.texts.join("").length;
  return more === 0 ? (shapeOf(a) < shapeOf(b) ? -1 : 1) : more;
}

/** A segment without its parameters' names. */
function shapeOf({ texts }: Segment): string {
  return texts.join("{}");
}

function parseSegment(text: string, pointer: string): Segment {
  const texts: string[] = [];
  const names: string[] = [];
  let from = 0;
  for (const found of text.matchAll(/\{([^{}]+)\}/gu)) {
    texts.push(text.slice(from, found.index));
    names.push(found[1] ?? "");
    from = found.index + found[0].length;
  }
  texts.push(text.slice(from));
  if (texts.some((one) => /[{}]/u.test(one)))
    throw new DocumentFault(pointer, `segment ${JSON.stringify(text)} has a brace without its other`);
  if (texts.slice(1, -1).includes(""))
    throw new DocumentFault(
      pointer,
      `segment ${JSON.stringify(text)} does not tell where one parameter ends and the next begins`,
    );
  return { texts: texts.map(decodeSegment), names };
}

/** What stands in the places of a segment's parameters, which are never empty; in one pass, whatever was sent. */
function capture({ texts, names }: Segment, sent: string): readonly string[] | undefined {
  const first = texts[0] ?? "";
  const last = texts.at(-1) ?? "";
  if (!sent.startsWith(first) || !sent.endsWith(last) || sent.length < first.length + last.length) return undefined;
  const end = sent.length - last.length;
  const values: string[] = [];
  let from = first.length;
  for (let index = 1; index < names.length; index++) {
    const text = texts[index] ?? "";
    const at = sent.indexOf(text, from + 1);
    if (at < 0 || at >= end) return undefined;
    values.push(sent.slice(from, at));
    from = at + text.length;
  }
  if (from >= end) return undefined;
  values.push(sent.slice(from, end));
  return values;
}

function decodeSegment(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that codes nothing stands for itself.
    return text;
  }
}
