// Control's API, as commands use it.
import { z } from "zod";
import { CommandFailure, EXIT } from "./failure.ts";

/** Where control is, and the right to change it. */
export interface Target {
  readonly control: string;
  readonly token: string | undefined;
}

const Refusal = z.object({
  title: z.string(),
  detail: z.string().optional(),
  problems: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
});
export type Refusal = z.infer<typeof Refusal>;

const TOKEN_HINT =
  "pass it with --token or VESPID_TOKEN; control printed it at its first start, and starting control with --token sets another";

/** Control said no; `problems` have paths into the body. */
export class ControlRefusal extends CommandFailure {
  readonly status: number;
  readonly problems: NonNullable<Refusal["problems"]>;

  constructor(status: number, { title, detail, problems = [] }: Refusal) {
    const head = detail === undefined ? title : `${title}: ${detail}`;
    const lines = problems.map(({ path, message }) => `  ${path === "" ? "" : `${path}: `}${message}`);
    const json = { problems: problems.length > 0 ? problems : [{ path: "", message: `${head} (${status})` }] };
    if (status === 401) super(EXIT.unauthorized, [`control refused (401): ${title}`, TOKEN_HINT], json);
    else super(EXIT.refused, [`control refused (${status}): ${head}`, ...lines], json);
    this.status = status;
    this.problems = problems;
  }
}

/** What control says when it refuses; `undefined` where it is not control that speaks. */
export function parseRefusal(text: string): Refusal | undefined {
  return Refusal.safeParse(parseJson(text)).data;
}

/** Longest wait for a reply; a bundle may take control some seconds to derive. */
const TIMEOUT_MS = 60_000;

/** Sends one request and reads the reply as `schema`. Throws a `CommandFailure` that says what went wrong and what to do. */
export async function ask<T>(
  { control, token }: Target,
  schema: z.ZodType<T>,
  request: { readonly method: "GET" | "PUT" | "POST" | "DELETE"; readonly path: string; readonly body?: unknown },
): Promise<T> {
  const { method, path, body } = request;
  const headers = new Headers();
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  if (body !== undefined) headers.set("content-type", "application/json");
  const init: RequestInit = { method, headers, signal: AbortSignal.timeout(TIMEOUT_MS) };
  if (body !== undefined) init.body = JSON.stringify(body);
  let reply: Response;
  let text: string;
  try {
    reply = await fetch(new URL(path, control), init);
    text = await reply.text();
  } catch (error) {
    throw new CommandFailure(EXIT.unreachable, [
      `control at ${control} does not answer: ${reasonOf(error)}`,
      'start it with "bun run control", or say where it is with --control or VESPID_CONTROL',
    ]);
  }
  const value = parseJson(text);
  if (!reply.ok) {
    const refusal = Refusal.safeParse(value);
    if (refusal.success) throw new ControlRefusal(reply.status, refusal.data);
    throw notControl(control, ` (it said ${reply.status} ${reply.statusText})`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw notControl(control);
}

function notControl(control: string, what = ""): CommandFailure {
  return new CommandFailure(EXIT.unreachable, [`what answers at ${control} is not a Vespid control service${what}`]);
}

/** In words where it is the common one; Bun's own ask about the computer. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && error.code === "ECONNREFUSED" ? "the connection was refused" : error.message;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not control, or something between us; the status decides.
    return undefined;
  }
}
