// What a filter measured, read from the text that a proxy exposes: a test sees what an operator would.

/** The sum of the series that have these labels; `0` where nothing was measured yet. Throws where the filter defines no such metric. */
export function readMetric(
  lines: readonly string[],
  defined: readonly string[],
  name: string,
  labels: Readonly<Record<string, string>>,
): number {
  const base = name.replace(/_(?:bucket|sum|count)$/u, "");
  if (!defined.includes(name) && !defined.includes(base)) {
    const known = defined.length === 0 ? "it defines none" : `there are ${defined.join(", ")}`;
    throw new Error(`the filter defines no metric ${JSON.stringify(name)}: ${known}`);
  }
  let sum = 0;
  for (const line of lines) {
    const [, own, text = "", amount] = /^([a-z_0-9]+)\{(.*)\} (\S+)$/u.exec(line) ?? [];
    if (own !== name) continue;
    const found = new Map(
      [...text.matchAll(/([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"/gu)].map(([, key, value]) => [key, value]),
    );
    if (Object.entries(labels).every(([key, wanted]) => unescape(found.get(key) ?? "") === wanted))
      sum += Number(amount);
  }
  return sum;
}

function unescape(text: string): string {
  return text.replaceAll(/\\(.)/gu, (_, character: string) => (character === "n" ? "\n" : character));
}
