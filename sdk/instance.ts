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

/** What an adapter takes of an action, ready to be read. Lists and not maps: an interpreter pays for what walks over those. */
export interface InstanceShape {
  readonly names: readonly string[];
  /** How the line of each begins. */
  readonly prefixes: readonly string[];
  readonly types: readonly InstanceType[];
  readonly value: InstanceType | undefined;
}

export function compileShape(reads: AttributeTypes, value: InstanceType | undefined): InstanceShape {
  const names = Object.keys(reads);
  return { names, prefixes: names.map((name) => `${name}: `), types: Object.values(reads), value };
}

type AnyInstance = AdapterInstance<AttributeTypes, InstanceType>;
type AnyValue = ValueOf<InstanceType>;

/** Lines under way, and the next of them: one split for all instances of a report. */
let lines: readonly string[] = [];
let next = 0;

/** What a check is asked about. */
export function readInstance(text: string, shape: InstanceShape): AnyInstance {
  lines = text.split("\n");
  next = 0;
  return readNext(shape);
}

/** What is charged. */
export function readQuotaInstance(text: string, shape: InstanceShape): QuotaInstance<AttributeTypes> {
  lines = text.split("\n");
  next = 0;
  const name = readName();
  const amount = Number(takeLine(VALUE));
  const isBestEffort = takeLine(BEST_EFFORT) !== undefined;
  return { name, amount, isBestEffort, attributes: readAttributes(shape) };
}

/** A report's, an empty line after each. */
export function readInstances(text: string, shape: InstanceShape): readonly AnyInstance[] {
  lines = text.split("\n");
  next = 0;
  const instances: AnyInstance[] = [];
  // What follows the last line is empty, and no instance.
  while (next < lines.length - 1) {
    instances.push(readNext(shape));
    next++;
  }
  return instances;
}

const NAME = ":name: ";
const VALUE = ":value: ";
const BEST_EFFORT = ":best-effort: ";

function readNext(shape: InstanceShape): AnyInstance {
  const name = readName();
  const text = takeLine(VALUE);
  const value = shape.value === undefined || text === undefined ? undefined : valueOf(shape.value, text);
  return { name, value, attributes: readAttributes(shape) };
}

function readName(): string {
  return takeLine(NAME) ?? "";
}

/** What follows on the next line, where it begins so; lines come in the WIT's order. */
function takeLine(prefix: string): string | undefined {
  const line = lines[next];
  if (line === undefined || !line.startsWith(prefix)) return undefined;
  next++;
  return line.slice(prefix.length);
}

function readAttributes({ names, prefixes, types }: InstanceShape): Readonly<Record<string, AnyValue>> {
  const attributes: Record<string, AnyValue> = {};
  for (let index = 0; index < names.length; index++) {
    const text = takeLine(prefixes[index] ?? "");
    if (text === undefined) continue;
    const value = valueOf(types[index], text);
    if (value !== undefined) attributes[names[index] ?? ""] = value;
  }
  return attributes;
}

/** Rules are checked to give the declared types; what is not of its type all the same is absent. */
function valueOf(type: InstanceType | undefined, text: string): AnyValue | undefined {
  if (type === "string") return text;
  if (type === "number") {
    const number = Number(text);
    return Number.isNaN(number) ? undefined : number;
  }
  return type === "map" ? mapOf(text) : text === "true";
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
