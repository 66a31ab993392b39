// How a command ends when it does not end well.

/** Exit codes, as `vespid --help` lists them. */
export const EXIT = {
  /** Done. */
  ok: 0,
  /** Control refused, or a file has problems; nothing was changed, unless it says so. */
  refused: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Control does not answer. */
  unreachable: 3,
  /** The token is missing or wrong. */
  unauthorized: 4,
} as const;

/** Thrown by commands, caught in `main.ts` only: what to print on stderr, what programs get with `--json`, and the exit code. */
export class CommandFailure extends Error {
  readonly exitCode: (typeof EXIT)[keyof typeof EXIT];
  readonly json: unknown;

  /** `json` has `problems`; without it, each line is one. */
  constructor(
    exitCode: CommandFailure["exitCode"],
    lines: readonly string[],
    json: unknown = { problems: lines.map((message) => ({ path: "", message })) },
  ) {
    super(lines.join("\n"));
    this.exitCode = exitCode;
    this.json = json;
  }
}
