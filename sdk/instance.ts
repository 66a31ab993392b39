// What a rule's action says, as handlers of adapters have it: read from the lines that crossed. The same natively and in
// the sandbox.

/** What an attribute is: an instant is text (RFC 3339), a span a number of milliseconds. */
export type InstanceType = "string" | "number" | "boolean" | "map";

interface Values {
  readonly string: string;
  readonly number: number;
  readonly boolean: boolean;
  /** Header fields, labels, parameters: text by name. */
  readonly map: Readonly<Record<string, string>>;
}
export type ValueOf<Type extends InstanceType> = Values[Type];
export type AttributeTypes = Readonly<Record<string, InstanceType>>;

interface Instance<Reads extends AttributeTypes> {
  /** The action's, or its rule's: which policy, quota, metric or log is meant. */
  readonly name: string;
  /** Those of `reads` that the action names and the exchange has. */
  readonly attributes: { readonly [Name in keyof Reads]?: ValueOf<Reads[Name]> };
}

/** What a check is asked about, and what is reported. */
export interface AdapterInstance<Reads extends AttributeTypes, Value extends InstanceType> extends Instance<Reads> {
  /** Absent where the action has none, or the exchange has not what it is made of. */
  readonly value: ValueOf<Value> | undefined;
}

/** What is charged. */
export interface QuotaInstance<Reads extends AttributeTypes> extends Instance<Reads> {
  /** A whole number, `1` or more. */
  readonly amount: number;
  /** Any part of the amount will do. */
  readonly isBestEffort: boolean;
}

/** What an adapter takes of an action. */
export interface InstanceShape {
  readonly reads: AttributeTypes;
  readonly value: InstanceType | undefined;
}

/** One action's lines. */
export function readInstance(
  text: string,
  { reads, value }: InstanceShape,
): AdapterInstance<AttributeTypes, InstanceType> {
  const lines = `\n${text}`;
  return {
    name: lineOf(lines, ":name") ?? "",
    value: value === undefined ? undefined : valueOf(value, lineOf(lines, ":value")),
    attributes: attributesOf(lines, reads),
  };
}

/** One charge's lines. */
export function readQuotaInstance(text: string, { reads }: InstanceShape): QuotaInstance<AttributeTypes> {
  const lines = `\n${text}`;
  return {
    name: lineOf(lines, ":name") ?? "",
    amount: Number(lineOf(lines, ":value")),
    isBestEffort: lineOf(lines, ":best-effort") === "true",
    attributes: attributesOf(lines, reads),
  };
}

/** The instances of a report: an empty line follows each. */
export function readInstances(
  text: string,
  shape: InstanceShape,
): readonly AdapterInstance<AttributeTypes, InstanceType>[] {
  const blocks = text.split("\n\n");
  // What follows the last empty line.
  blocks.pop();
  return blocks.map((block) => readInstance(`${block}\n`, shape));
}

type AnyValue = ValueOf<InstanceType>;

function attributesOf(lines: string, reads: AttributeTypes): Readonly<Record<string, AnyValue>> {
  const attributes: Record<string, AnyValue> = {};
  for (const name of Object.keys(reads)) {
    const read = valueOf(reads[name], lineOf(lines, name));
    if (read !== undefined) attributes[name] = read;
  }
  return attributes;
}

function lineOf(lines: string, name: string): string | undefined {
  const at = lines.indexOf(`\n${name}: `);
  if (at < 0) return undefined;
  const start = at + name.length + 3;
  return lines.slice(start, lines.indexOf("\n", start));
}

/** Rules are checked to give the declared types; what is not of its type all the same is absent. */
function valueOf(type: InstanceType | undefined, text: string | undefined): AnyValue | undefined {
  if (text === undefined) return undefined;
  switch (type) {
    case "number": {
      const number = Number(text);
      return Number.isNaN(number) ? undefined : number;
    }
    case "boolean":
      return text === "true";
    case "map":
      return mapOf(text);
    case "string":
    case undefined:
      return text;
  }
}

function mapOf(text: string): Readonly<Record<string, string>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- The proxy writes maps of texts alone.
    return typeof parsed === "object" && parsed !== null ? (parsed as Readonly<Record<string, string>>) : undefined;
  } catch {
    // A text where a map was declared.
    return undefined;
  }
}
