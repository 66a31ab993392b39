// Two versions' verdicts about one message, for people.

/** One version's verdict, with the edits that the other does not have. */
export interface ShownVerdict {
  readonly verdict: string;
  readonly status?: number | undefined;
  readonly reason?: string | undefined;
  readonly edits: readonly { readonly kind: string; readonly name: string; readonly value: string }[];
  readonly body: string;
}

/** Where they differed. */
export interface ShownDifference {
  readonly proxy?: string;
  readonly atMs?: number;
  readonly requestId: string;
  readonly phase: string;
  readonly method: string;
  readonly path: string;
  readonly live: ShownVerdict;
  readonly candidate: ShownVerdict;
}

/** A head line, then `-` lines of the live version and `+` lines of the candidate, as a diff. */
export function renderDifference(difference: ShownDifference): readonly string[] {
  const { proxy, atMs, requestId, phase, method, path, live, candidate } = difference;
  const when = atMs === undefined ? [] : [new Date(atMs).toISOString()];
  const head = [...when, method, path, phase, requestId, ...(proxy === undefined ? [] : [proxy])].join(" ");
  const isSame = live.verdict === candidate.verdict && live.status === candidate.status && live.body === candidate.body;
  return [head, ...renderVerdict("-", live, isSame), ...renderVerdict("+", candidate, isSame)];
}

function renderVerdict(
  sign: string,
  { verdict, status, reason, edits, body }: ShownVerdict,
  isSame: boolean,
): readonly string[] {
  const what = [
    verdict,
    ...(status === undefined ? [] : [String(status)]),
    ...(body === "kept" ? [] : [`body ${body}`]),
  ];
  const why = reason === undefined ? "" : `: ${reason.split("\n")[0] ?? ""}`;
  return [
    ...(isSame ? [] : [`  ${sign} ${what.join(" ")}${why}`]),
    ...edits.map(({ kind, name, value }) => `  ${sign} ${kind} ${name}${kind === "remove" ? "" : `: ${value}`}`),
  ];
}
