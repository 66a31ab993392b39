// What an author's code threw, as text with the frames that it was thrown in: the same from the sandbox and natively, where
// engines write stacks differently.

/** `TypeError: no` and a line `    at …` for each frame; whatever else was thrown as text. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const frames = (error.stack ?? "").split("\n").filter((line) => FRAME.test(line));
  return [`${error.name}: ${error.message}`, ...frames].join("\n");
}

const FRAME = /^\s+at /u;
