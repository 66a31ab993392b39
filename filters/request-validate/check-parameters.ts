// What is wrong with the parameters of a request: how they are written first, then what they say, all in one check.
import type { JsonSchema } from "../../sdk/index.ts";
import type { Finding } from "./findings.ts";
import { countPairs, decodeForm, decodePercent, PAIRS_MAX, parseCookies, parsePairs } from "./pairs.ts";
import { isPlace, PLACES, type Parameter, type Parameters } from "./parameters.ts";
import { parsePointer, problemsOf } from "./problems.ts";
import { readPairs, readSimple, type Deserialized, type Pair } from "./styles.ts";
import { renderString, renderValue, type Read } from "./values.ts";

/** What a request brings. */
export interface Sources {
  /** As they were sent. */
  readonly path: ReadonlyMap<string, string>;
  readonly query: string;
  readonly header: (name: string) => string | null;
}

/** A parameter that is there, and its value where it is checked with the others. */
interface Present {
  readonly parameter: Parameter;
  readonly value: Read | undefined;
}

interface Pairs {
  readonly query: readonly Pair[];
  readonly cookie: readonly Pair[];
}

const ONE_TEXT = { kind: "one", types: new Set<string>(), properties: new Map<string, ReadonlySet<string>>() } as const;

/** What is wrong with the parameters of a request. */
export function checkParameters(
  parameters: Parameters,
  schemas: readonly JsonSchema[],
  sources: Sources,
): readonly Finding[] {
  const cookies = sources.header("cookie") ?? "";
  if (countPairs(sources.query, "&") > PAIRS_MAX) return [tooMany("query")];
  if (countPairs(cookies, ";") > PAIRS_MAX) return [tooMany("cookie")];
  const pairs = { query: parsePairs(sources.query), cookie: parseCookies(cookies) };
  const findings: Finding[] = [];
  const present: Present[] = [];
  for (const parameter of parameters.all) {
    const found = deserialize(parameter, sources, pairs);
    if (found.kind === "absent") continue;
    const wrong = findingsOf(parameter, found, schemas);
    findings.push(...wrong);
    const isChecked = wrong.length === 0 && found.kind === "read" && parameter.content === undefined;
    present.push({ parameter, value: isChecked && !isEmptyAllowed(parameter, found.value) ? found.value : undefined });
  }
  const isMissing = parameters.all.some((one) => one.isRequired && !present.some(({ parameter }) => parameter === one));
  if (!isMissing && present.every(({ value }) => value === undefined)) return findings;
  return [...findings, ...checkValues(parameters, schemas, present)];
}

function tooMany(place: "query" | "cookie"): Finding {
  return { in: place, pointer: "", detail: `has more than ${PAIRS_MAX} values` };
}

function isEmptyAllowed({ allowsEmpty }: Parameter, value: Read): boolean {
  return allowsEmpty && value.kind === "one" && value.text === "";
}

/** What is wrong with a parameter by itself. */
function findingsOf(
  { in: place, name, content }: Parameter,
  found: Exclude<Deserialized, { kind: "absent" }>,
  schemas: readonly JsonSchema[],
): readonly Finding[] {
  if (found.kind === "wrong") return [{ in: place, name, pointer: "", detail: found.detail }];
  if (content === undefined || found.value.kind !== "one") return [];
  const problems = problemsOf(schemas[content], found.value.text);
  return problems.map(({ path, message }) => ({ in: place, name, pointer: path, detail: message }));
}

function checkValues(
  { part, isAmbiguous }: Parameters,
  schemas: readonly JsonSchema[],
  present: readonly Present[],
): readonly Finding[] {
  const check = (prefersNumbers: boolean) => problemsOf(schemas[part], renderAll(present, prefersNumbers));
  let problems = check(false);
  if (problems.length > 0 && isAmbiguous) {
    const others = check(true);
    if (others.length < problems.length) problems = others;
  }
  const told = new Set(
    present.filter(({ value }) => value === undefined).map(({ parameter }) => `${parameter.in} ${parameter.name}`),
  );
  return problems.flatMap(({ path, message }): readonly Finding[] => {
    const [place = "", name = "", ...rest] = parsePointer(path);
    if (!isPlace(place) || told.has(`${place} ${name}`)) return [];
    const pointer = path
      .split("/")
      .slice(3)
      .map((step) => `/${step}`)
      .join("");
    return [{ in: place, name, pointer: rest.length === 0 ? "" : pointer, detail: message }];
  });
}

/** One document of all; of those that are told of already, or may be empty, only that they are there. */
function renderAll(present: readonly Present[], prefersNumbers: boolean): string {
  const groups = PLACES.map((place) => {
    const fields = present
      .filter(({ parameter }) => parameter.in === place)
      .map(({ parameter, value }) => {
        const json = value === undefined ? "null" : renderValue(parameter.shape, value, prefersNumbers);
        return `${renderString(parameter.name)}:${json}`;
      });
    return `"${place}":{${fields.join(",")}}`;
  });
  return `{${groups.join(",")}}`;
}

function deserialize(parameter: Parameter, { path, header }: Sources, { query, cookie }: Pairs): Deserialized {
  const { in: place, name, content } = parameter;
  switch (place) {
    case "path":
      return readSimple(parameter, path.get(name), decodePercent);
    case "header":
      return content === undefined
        ? readSimple(parameter, header(name) ?? undefined, (raw) => raw.trim())
        : readSimple({ ...parameter, shape: ONE_TEXT }, header(name) ?? undefined, (raw) => raw);
    case "query":
      return readPairs(parameter, query, decodeForm);
    case "cookie":
      return readPairs(parameter, cookie, (raw) => decodePercent(raw) ?? raw);
  }
}
