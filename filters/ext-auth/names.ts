// Lists of header names as Istio writes them: `x-user`, `x-*`, `*-id`. Pure.

/** Whether a name, in lower case, is in the list. */
export type NameList = (name: string) => boolean;

/** The list, or what is wrong with one of its entries. */
export function compileNames(patterns: readonly string[]): NameList | string {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  const suffixes: string[] = [];
  for (const pattern of patterns) {
    const text = pattern.toLowerCase();
    if (!/^(?:\*?[!#$%&'+\-.^_`|~0-9a-z]+|[!#$%&'+\-.^_`|~0-9a-z]+\*|\*)$/u.test(text))
      return `${JSON.stringify(pattern)} is neither a header name nor one that begins or ends with *`;
    if (text.endsWith("*")) prefixes.push(text.slice(0, -1));
    else if (text.startsWith("*")) suffixes.push(text.slice(1));
    else exact.add(text);
  }
  return (name) =>
    exact.has(name) ||
    prefixes.some((prefix) => name.startsWith(prefix)) ||
    suffixes.some((suffix) => name.endsWith(suffix));
}
