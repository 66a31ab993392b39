// From a rule's expressions to what is told of an exchange.
import { parseExpression } from "../contract/expression.ts";
import type { Action, Rule } from "../contract/rule.ts";
import type { ValueType } from "../contract/vocabulary.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { compileExpression, type Read, type Surroundings } from "../expression/compile.ts";
import type { Value } from "../expression/value.ts";
import type { Instance, Plain } from "./adapter.ts";

export type RuleSurroundings = Surroundings<Exchange>;

/** Whether an exchange is one of the rule's; `undefined` where each is. */
export function compileMatch({ match }: Rule, surroundings: RuleSurroundings): ((of: Exchange) => boolean) | undefined {
  if (match === undefined) return undefined;
  const { read } = compileText(match, surroundings);
  return (exchange) => read(exchange) === true;
}

/** What an action says of an exchange. */
export function compileInstance(
  action: Action,
  rule: Rule,
  surroundings: RuleSurroundings,
): (exchange: Exchange) => Instance {
  const name = action.name ?? rule.name;
  const readValue = action.value === undefined ? () => undefined : plainReader(action.value, surroundings);
  const fields = Object.entries(action.attributes).map(
    ([field, text]) => [field, plainReader(text, surroundings)] as const,
  );
  return (exchange) => {
    const attributes: Record<string, Plain> = {};
    for (const [field, read] of fields) {
      const value = read(exchange);
      if (value !== undefined) attributes[field] = value;
    }
    const value = readValue(exchange);
    return { name, value: typeof value === "object" ? undefined : value, attributes };
  };
}

function plainReader(text: string, surroundings: RuleSurroundings): (exchange: Exchange) => Plain | undefined {
  const { read, type } = compileText(text, surroundings);
  if (type === "timestamp") return (exchange) => instantOf(read(exchange));
  if (type === "map") return (exchange) => objectOf(read(exchange));
  return (exchange) => objectOf(read(exchange));
}

function instantOf(value: Value | undefined): string | undefined {
  return typeof value === "number" ? new Date(value).toISOString() : undefined;
}

function objectOf(value: Value | undefined): Plain | undefined {
  if (typeof value !== "object") return value;
  const object: Record<string, string> = {};
  for (const [key, entry] of value.entries())
    object[key] = object[key] === undefined ? entry : `${object[key]}, ${entry}`;
  return object;
}

function compileText(
  text: string,
  surroundings: RuleSurroundings,
): { readonly read: Read<Exchange>; readonly type: ValueType } {
  const parsed = parseExpression(text);
  // The snapshot was checked: its expressions read.
  if (!parsed.ok) throw new Error(parsed.error);
  return { read: compileExpression(parsed.value.expression, surroundings), type: parsed.value.type };
}
