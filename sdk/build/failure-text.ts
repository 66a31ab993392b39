// A failure's text as authors read it: the line of their file that it happened at, in the place of the bundle's. Pure.
import { isAbsolute, join, relative } from "node:path";
import type { SourceMap } from "./source-map.ts";

/** What the componentizer calls the bundled script in stacks. */
export const GUEST_SCRIPT = "filter.js";
/** Places that are told; what called them is the SDK's most often. */
const PLACES_MAX = 8;
const NOT_AUTHORS = /\/node_modules\/|\.test\.[cm]?[jt]sx?$/u;
const FRAME = /^\s+at .*$/u;
const PLACE = /^\s+at (?:.*? \()?([^()]*):(\d+):(\d+)\)?$/u;

/** The author's name for a place, such as `filter.ts:14:9`; `undefined` where it is not the author's. */
export type NamePlace = (file: string, line: number, column: number) => string | undefined;

/** Names places of a sandboxed filter. */
export function guestPlaces(map: SourceMap | undefined): NamePlace {
  return (file, line, column) => {
    const found = file === GUEST_SCRIPT ? map?.find(line, column) : undefined;
    return found && `${found.source}:${found.line}:${found.column}`;
  };
}

/** Names places of a native filter: files of `folder` and others of the author's, relative to it. */
export function nativePlaces(folder: string): NamePlace {
  const own = ["sdk", "runtime", "node_modules"].map((name) => join(import.meta.dir, "../..", name, "/"));
  return (file, line, column) => {
    const isAuthors = isAbsolute(file) && !NOT_AUTHORS.test(file) && !own.some((path) => file.startsWith(path));
    return isAuthors ? `${relative(folder, file)}:${line}:${column}` : undefined;
  };
}

/**
 * `TypeError: no` and the frames below it become `filter.ts:14:9: TypeError: no`, with the author's other frames below.
 * Frames that are not the author's are left out.
 */
export function explainFailure(text: string, nameOf: NamePlace): string {
  const lines = text.split("\n");
  const said = lines
    .filter((line) => !FRAME.test(line))
    .join("\n")
    .trimEnd();
  const places = lines.flatMap((line) => {
    const [, file = "", row, column] = PLACE.exec(line) ?? [];
    return nameOf(file, Number(row), Number(column)) ?? [];
  });
  const [first, ...rest] = places.filter((place, index) => place !== places[index - 1]).slice(0, PLACES_MAX);
  if (first === undefined) return said;
  // The proxy's own words come first: "filter NAME: ".
  const [prefix = ""] = /^filter \S+: /u.exec(said) ?? [];
  return [`${prefix}${first}: ${said.slice(prefix.length)}`, ...rest.map((place) => `    at ${place}`)].join("\n");
}
