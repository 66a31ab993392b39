// The log: JSON for programs, short lines where a person looks on.
import pino, { type Logger } from "pino";

const LABELS: Readonly<Record<number, string>> = { 20: "debug", 30: "info", 40: "WARN", 50: "ERROR", 60: "FATAL" };

/** Writes to stderr; `isTerminal` asks for lines that people read. */
export function createLog(level: string, isTerminal: boolean): Logger {
  const destination = isTerminal
    ? { write: (line: string) => void process.stderr.write(`${renderLine(line)}\n`) }
    : pino.destination(2);
  return pino({ level, base: { program: "control" } }, destination);
}

/** `14:02:11 info  push  proxy=reviews~1 version=…` from one line of pino. */
export function renderLine(line: string): string {
  const { time, level, msg, program: _program, ...fields } = JSON.parse(line);
  const label = LABELS[Number(level)] ?? String(level);
  const told = Object.entries(fields).map(([name, value]) => {
    return `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`;
  });
  return `${new Date(Number(time)).toISOString().slice(11, 19)} ${label.padEnd(5)} ${msg}  ${told.join(" ")}`.trimEnd();
}
