// Rules as bodies and headers are asked about them: by name, by place, by pattern.
import type { Mask } from "./masks.ts";
import type { Pattern } from "./search.ts";

/** What a name or a place says of a value. The rule that was written first counts. */
export interface Target {
  readonly order: number;
  readonly mask: Mask;
}

/** A place in a document, and those below it: pointers (RFC 6901) as a tree, in which `*` is every member and element. */
export interface Place {
  target: Target | undefined;
  readonly children: Map<string, Place>;
  any: Place | undefined;
}

/** What is looked for in one direction. */
export interface Rules {
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, Mask>;
  readonly names: ReadonlyMap<string, Target>;
  readonly root: Place;
  readonly patterns: readonly Pattern[];
  /** Any of the names, as documents mostly write them; `undefined` where one is written in other ways. */
  readonly anyName: RegExp | undefined;
}

/** A rule as it is configured, its patterns compiled. */
export interface Rule {
  readonly headers: readonly string[];
  readonly names: readonly string[];
  readonly pointers: readonly (readonly string[])[];
  readonly patterns: readonly Pattern[];
  readonly mask: Mask;
}

const ANY = "*";

/** All of the rules as one. */
export function compileRules(rules: readonly Rule[]): Rules {
  const headers = new Map<string, Mask>();
  const names = new Map<string, Target>();
  const root = emptyPlace();
  for (const [order, rule] of rules.entries()) {
    const target = { order, mask: rule.mask };
    for (const header of rule.headers) if (!headers.has(header)) headers.set(header, rule.mask);
    for (const name of rule.names) if (!names.has(name)) names.set(name, target);
    for (const pointer of rule.pointers) placeAt(root, pointer).target ??= target;
  }
  const patterns = rules.flatMap((rule) => rule.patterns);
  return { headers, names, root, patterns, anyName: anyOf([...names.keys()]) };
}

/** Of names that no escape is needed for. */
function anyOf(names: readonly string[]): RegExp | undefined {
  if (!names.every((name) => /^[\w $@:-]+$/u.test(name))) return undefined;
  return new RegExp(`"(?:${names.map((name) => name.replaceAll("$", "[$]")).join("|")})"`, "iu");
}

/**
 * The rules that may find something in a text of JSON: patterns whose hint is nowhere in it do not. `undefined` where none
 * may, so that nobody needs to look.
 */
export function rulesFor(text: string, rules: Rules): Rules | undefined {
  // Escapes hide letters from a look at the whole.
  if (/\\[tu/]/u.test(text)) return rules;
  const patterns = rules.patterns.filter(({ hint }) => hint?.test(text) !== false);
  if (patterns.length > 0 || hasPlaces(rules)) return { ...rules, patterns };
  const hasName = rules.names.size > 0 && rules.anyName?.test(text) !== false;
  return hasName ? { ...rules, patterns } : undefined;
}

/** The steps of a pointer; `undefined` where it is none. */
export function parsePointer(pointer: string): readonly string[] | undefined {
  if (pointer === "") return [];
  if (!pointer.startsWith("/") || /~(?![01])/u.test(pointer)) return undefined;
  return pointer
    .slice(1)
    .split("/")
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Whether the rules say something of a document's places. */
export function hasPlaces({ root }: Rules): boolean {
  return root.target !== undefined || root.any !== undefined || root.children.size > 0;
}

/** Places below those that a value is at. */
export function placesBelow(places: readonly Place[], key: string): readonly Place[] {
  if (places.length === 0) return places;
  return places.flatMap(({ children, any }) => [children.get(key), any].filter((place) => place !== undefined));
}

/** What is said of the value of that name at those places. */
export function targetOf(rules: Rules, places: readonly Place[], name: string | undefined): Target | undefined {
  let first = name === undefined || rules.names.size === 0 ? undefined : rules.names.get(name.toLowerCase());
  for (const { target } of places)
    if (target !== undefined && (first === undefined || target.order < first.order)) first = target;
  return first;
}

function placeAt(root: Place, pointer: readonly string[]): Place {
  let place = root;
  for (const step of pointer) {
    let next = step === ANY ? place.any : place.children.get(step);
    if (next === undefined) {
      next = emptyPlace();
      if (step === ANY) place.any = next;
      else place.children.set(step, next);
    }
    place = next;
  }
  return place;
}

function emptyPlace(): Place {
  return { target: undefined, children: new Map(), any: undefined };
}
