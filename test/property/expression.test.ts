// Expressions of every shape, against an evaluator that walks the text's meaning step by step and compiles nothing.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseExpression } from "../../runtime/contract/expression.ts";
import type { Expression } from "../../runtime/contract/expression-syntax.ts";
import { compileExpression } from "../../runtime/expression/compile.ts";
import { CONVERSIONS, mapOf, type Value } from "../../runtime/expression/value.ts";

type World = Readonly<Record<string, Value | undefined>>;

/** An expression as text and what it is worth, written down side by side. */
interface Made {
  readonly text: string;
  readonly worth: (world: World) => Value | undefined;
}

const STRINGS = ["request.path", "request.host", "source.principal"];
const INTS = ["source.port", "response.code"];
const BOOLS = ["connection.mtls"];
const MAPS = ["request.headers", "source.labels"];
const WORDS = ["", "a", "ab", "b", "ba", "/api", "/api/x", "*", "a*", "*b"];

const attribute = (name: string): Made => ({ text: name, worth: (world) => world[name] });
const quoted = (text: string): Made => ({ text: JSON.stringify(text), worth: () => text });
const lift =
  <A extends Value>(apply: (a: A, b: A) => Value | undefined, a: Made, b: Made) =>
  (world: World): Value | undefined => {
    const left = a.worth(world);
    const right = b.worth(world);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the grammar below makes pairs of one type
    return left === undefined || right === undefined ? undefined : apply(left as A, right as A);
  };
const infix = (sign: string, a: Made, b: Made, worth: Made["worth"]): Made => ({
  text: `(${a.text} ${sign} ${b.text})`,
  worth,
});
const or = (a: Made, b: Made): Made => infix("|", a, b, (world) => a.worth(world) ?? b.worth(world));
const glob = (text: string, pattern: string): boolean => {
  if (pattern.endsWith("*")) return text.startsWith(pattern.slice(0, -1));
  return pattern.startsWith("*") ? text.endsWith(pattern.slice(1)) : text === pattern;
};

const { bool } = fc.letrec<{ text: Made; int: Made; bool: Made }>((tie) => {
  const pair = (name: "text" | "int" | "bool") => fc.tuple(tie(name), tie(name));
  const text: fc.Arbitrary<Made> = fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...STRINGS).map(attribute),
    fc.constantFrom(...WORDS).map(quoted),
    fc.tuple(fc.constantFrom(...MAPS), tie("text")).map(([map, key]) => ({
      text: `${map}[${key.text}]`,
      worth: (world: World) => {
        const at = key.worth(world);
        const of = world[map];
        return typeof at === "string" && typeof of === "object" ? of.get(at) : undefined;
      },
    })),
    pair("text").map(([a, b]) => or(a, b)),
    pair("text").map(([a, b]) =>
      infix(
        "+",
        a,
        b,
        lift<string>((x, y) => x + y, a, b),
      ),
    ),
    tie("text").map((a) => ({
      text: `toLower(${a.text})`,
      worth: lift<string>((x) => x.toLowerCase(), a, a),
    })),
    fc.tuple(tie("bool"), tie("text"), tie("text")).map(([when, a, b]) => ({
      text: `conditional(${when.text}, ${a.text}, ${b.text})`,
      worth: (world: World) => {
        const chosen = when.worth(world);
        return chosen === undefined ? undefined : (chosen === true ? a : b).worth(world);
      },
    })),
  );
  const int: fc.Arbitrary<Made> = fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...INTS).map(attribute),
    fc.integer({ min: -1000, max: 1000 }).map((value) => ({ text: String(value), worth: () => value })),
    pair("int").map(([a, b]) => or(a, b)),
    pair("int").map(([a, b]) =>
      infix(
        "+",
        a,
        b,
        lift<number>((x, y) => x + y, a, b),
      ),
    ),
    tie("text").map((a) => ({ text: `size(${a.text})`, worth: lift<string>((x) => x.length, a, a) })),
  );
  const compare = (name: "text" | "int"): fc.Arbitrary<Made> =>
    fc.tuple(pair(name), fc.constantFrom("==", "!=", "<", "<=", ">", ">=")).map(([[a, b], sign]) =>
      infix(
        sign,
        a,
        b,
        lift<string | number>((x, y) => COMPARE[sign]?.(x, y), a, b),
      ),
    );
  const logic: fc.Arbitrary<Made> = fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...BOOLS).map(attribute),
    fc.boolean().map((value) => ({ text: String(value), worth: () => value })),
    compare("text"),
    compare("int"),
    pair("bool").map(([a, b]) =>
      infix("&&", a, b, (world) => (a.worth(world) === true ? b.worth(world) : a.worth(world))),
    ),
    pair("bool").map(([a, b]) =>
      infix("||", a, b, (world) => (a.worth(world) === false ? b.worth(world) : a.worth(world))),
    ),
    pair("bool").map(([a, b]) => or(a, b)),
    pair("text").map(([a, b]) => ({
      text: `match(${a.text}, ${b.text})`,
      worth: lift<string>((x, y) => glob(x, y), a, b),
    })),
    pair("text").map(([a, b]) => ({
      text: `(${a.text}).startsWith(${b.text})`,
      worth: lift<string>((x, y) => x.startsWith(y), a, b),
    })),
    pair("text").map(([a, b]) => ({
      text: `(ip(${a.text}) == ip(${b.text}))`,
      worth: (world: World) => {
        const [x, y] = [a, b].map((made) => {
          const given = made.worth(world);
          return typeof given === "string" ? CONVERSIONS["ip"]?.(given) : undefined;
        });
        return x === undefined || y === undefined ? undefined : x === y;
      },
    })),
  );
  return { text, int, bool: logic };
});

const COMPARE: Readonly<Record<string, (a: string | number, b: string | number) => boolean>> = {
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

const maybe = <T extends Value>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const map = fc.dictionary(fc.constantFrom("a", "b", "ab", ""), fc.constantFrom(...WORDS)).map((of) => mapOf(of));
const world: fc.Arbitrary<World> = fc.record({
  "request.path": maybe(fc.constantFrom(...WORDS)),
  "request.host": maybe(fc.constantFrom(...WORDS, "10.0.0.1", "::ffff:10.0.0.1")),
  "source.principal": maybe(fc.constantFrom(...WORDS, "10.0.0.1")),
  "source.port": maybe(fc.integer({ min: -5, max: 5 })),
  "response.code": maybe(fc.integer({ min: 100, max: 599 })),
  "connection.mtls": maybe(fc.boolean()),
  "request.headers": maybe(map),
  "source.labels": maybe(map),
});

const surroundings = {
  attribute: (name: string) => (given: World) => given[name],
  pattern: () => () => false,
};

test("a compiled expression is worth what its text says", () => {
  let present = 0;
  fc.assert(
    fc.property(bool, world, (made, given) => {
      const parsed = parseExpression(made.text);
      if (!parsed.ok) {
        // What the generator nests too deep is refused as that, and as nothing else.
        expect(parsed.error).toMatch(/nested deeper|characters long/u);
        return;
      }
      const expected = made.worth(given);
      if (expected !== undefined) present++;
      expect(compileExpression(parsed.value.expression, surroundings)(given)).toBe(expected);
    }),
    { numRuns: 3000 },
  );
  expect(present).toBeGreaterThan(500);
});

test("whatever is written, reading it ends, in an expression or a column", () => {
  const word = fc.constantFrom(
    "a",
    "request.path",
    "(",
    ")",
    "[",
    "]",
    "|",
    "||",
    "&&",
    "==",
    '"x"',
    "1",
    ".",
    ",",
    "-",
    "`",
    '"',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(word).map((words) => words.join(" ")),
      ),
      (text) => {
        const parsed = parseExpression(text);
        return parsed.ok || /^column \d+: ./u.test(parsed.error);
      },
    ),
    { numRuns: 3000 },
  );
});

test("an expression reads as it is written back, whatever binds tighter", () => {
  fc.assert(
    fc.property(bool, ({ text }) => {
      const parsed = parseExpression(text);
      if (!parsed.ok) return;
      const again = parseExpression(render(parsed.value.expression));
      if (!again.ok) throw new Error(again.error);
      expect(render(again.value.expression)).toBe(render(parsed.value.expression));
    }),
    { numRuns: 500 },
  );
});

function render(expression: Expression): string {
  if (expression.kind === "literal") return JSON.stringify(expression.value);
  if (expression.kind === "attribute") return expression.name;
  const [first = "", second = "", ...rest] = expression.args.map((arg) => render(arg));
  if (expression.name === "[]") return `${first}[${second}]`;
  if (expression.isMethod) return `(${first}).${expression.name}(${second})`;
  if (/^[a-zA-Z]/u.test(expression.name))
    return `${expression.name}(${[first, second, ...rest].filter((arg) => arg !== "").join(", ")})`;
  return `(${first} ${expression.name} ${second})`;
}
