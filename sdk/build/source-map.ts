// From positions in a bundled script to those in its author's files: what the bundler wrote down, cut to the author's files,
// so that it is small enough to go with the artifact. The format is that of source maps (ECMA-426), without names. Pure.

/** A map is left out of the artifact, and one that is longer is not read. */
export const SOURCE_MAP_MAX_LENGTH: number = 512 * 1024;
const SOURCES_MAX = 1000;
const SOURCE_MAX_LENGTH = 512;
const SEGMENTS_MAX = 500_000;

/** Where something is in an author's file. */
export interface Position {
  /** Relative to the folder of the filter's file: `filter.ts`. */
  readonly source: string;
  /** From 1 on. */
  readonly line: number;
  /** From 1 on. */
  readonly column: number;
}

/** What of a script came from the author. */
export interface SourceMap {
  /** The position that became this one of the script, both counted from 1; `undefined` for what is not the author's. */
  find(line: number, column: number): Position | undefined;
}

/** Generated column, and where it came from; a source of -1 is nobody's. */
interface Segment {
  readonly column: number;
  readonly source: number;
  readonly sourceLine: number;
  readonly sourceColumn: number;
}

/** A source map with only those sources that `nameOf` names; `undefined` where `text` is no source map. */
export function cutSourceMap(text: string, nameOf: (source: string) => string | undefined): string | undefined {
  const decoded = decode(text);
  if (decoded === undefined) return undefined;
  const sources: string[] = [];
  const moved = decoded.sources.map((source) => {
    const name = nameOf(source);
    return name === undefined ? -1 : sources.push(name) - 1;
  });
  const lines = decoded.lines.map((segments) => {
    const kept: Segment[] = [];
    for (const segment of segments) {
      const source = moved[segment.source] ?? -1;
      // One segment is enough to say where what is not the author's begins.
      if (source >= 0 || (kept.at(-1)?.source ?? -1) >= 0) kept.push({ ...segment, source });
    }
    return kept;
  });
  return JSON.stringify({ version: 3, sources, mappings: encode(lines) });
}

/** Reads a source map, which may be anybody's; `undefined` where it is none. */
export function parseSourceMap(text: string): SourceMap | undefined {
  if (text.length > SOURCE_MAP_MAX_LENGTH) return undefined;
  const decoded = decode(text);
  if (decoded === undefined) return undefined;
  const { sources, lines } = decoded;
  return {
    find(line, column) {
      const segments = lines[line - 1] ?? [];
      let found: Segment | undefined;
      for (let low = 0, high = segments.length - 1; low <= high;) {
        const middle = (low + high) >> 1;
        const segment = segments[middle];
        if (segment !== undefined && segment.column <= column - 1) {
          found = segment;
          low = middle + 1;
        } else high = middle - 1;
      }
      const source = sources[found?.source ?? -1];
      if (found === undefined || source === undefined) return undefined;
      return { source, line: found.sourceLine + 1, column: found.sourceColumn + 1 };
    },
  };
}

interface Decoded {
  readonly sources: readonly string[];
  readonly lines: readonly (readonly Segment[])[];
}

function decode(text: string): Decoded | undefined {
  const map = parseJson(text);
  if (typeof map !== "object" || map === null || !("sources" in map) || !("mappings" in map)) return undefined;
  const { sources, mappings } = map;
  if (!Array.isArray(sources) || typeof mappings !== "string" || sources.length > SOURCES_MAX) return undefined;
  const names = sources.map((source: unknown) =>
    typeof source === "string" ? source.slice(0, SOURCE_MAX_LENGTH) : "",
  );
  const lines = decodeMappings(mappings);
  return lines === undefined ? undefined : { sources: names, lines };
}

function decodeMappings(mappings: string): Segment[][] | undefined {
  const numbers = new Numbers(mappings);
  const lines: Segment[][] = [[]];
  let [column, source, sourceLine, sourceColumn, count] = [0, 0, 0, 0, 0];
  while (!numbers.isAtEnd) {
    if (numbers.skip(";")) {
      lines.push([]);
      column = 0;
    } else if (!numbers.skip(",")) {
      const fields = numbers.segment();
      if (fields === undefined || ++count > SEGMENTS_MAX) return undefined;
      column += fields[0] ?? 0;
      if (fields.length >= 4) {
        source += fields[1] ?? 0;
        sourceLine += fields[2] ?? 0;
        sourceColumn += fields[3] ?? 0;
      }
      lines.at(-1)?.push({ column, source: fields.length >= 4 ? source : -1, sourceLine, sourceColumn });
    }
  }
  return lines;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUES: ReadonlyMap<string, number> = new Map(Array.from(DIGITS, (digit, value) => [digit, value]));

/** Base64 VLQ, as source maps have it. */
class Numbers {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  /** The numbers up to a separator; `undefined` where there are none. */
  segment(): readonly number[] | undefined {
    const fields: number[] = [];
    let [value, shift] = [0, 0];
    for (; !this.isAtEnd; this.#at++) {
      const digit = VALUES.get(this.#text[this.#at] ?? "");
      if (digit === undefined) break;
      value += (digit & 31) * 2 ** shift;
      if ((digit & 32) !== 0 && shift < 30) {
        shift += 5;
        continue;
      }
      fields.push(value % 2 === 1 ? -Math.floor(value / 2) : Math.floor(value / 2));
      [value, shift] = [0, 0];
    }
    return fields.length === 0 || fields.length > 5 ? undefined : fields;
  }
}

function encode(lines: readonly (readonly Segment[])[]): string {
  let [source, sourceLine, sourceColumn] = [0, 0, 0];
  return lines
    .map((segments) => {
      let column = 0;
      return segments
        .map((segment) => {
          let text = encodeNumber(segment.column - column);
          column = segment.column;
          if (segment.source < 0) return text;
          text += encodeNumber(segment.source - source) + encodeNumber(segment.sourceLine - sourceLine);
          text += encodeNumber(segment.sourceColumn - sourceColumn);
          ({ source, sourceLine, sourceColumn } = segment);
          return text;
        })
        .join(",");
    })
    .join(";");
}

function encodeNumber(number: number): string {
  let rest = number < 0 ? -number * 2 + 1 : number * 2;
  let text = "";
  do {
    const digit = rest % 32;
    rest = Math.floor(rest / 32);
    text += DIGITS[digit + (rest > 0 ? 32 : 0)] ?? "";
  } while (rest > 0);
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: no source map.
    return undefined;
  }
}
