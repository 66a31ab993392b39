// Asks a running `filter dev` what became of a request.
import { z } from "zod";
import type { Parsed } from "../../runtime/contract/problem.ts";
import { DEV_FILE } from "./run-dev.ts";

const Running = z.object({ url: z.url() });
const Told = z.object({ story: z.unknown(), text: z.string() });
const ANSWER_MAX_MS = 5000;

/** The story of a request, and how people read it. `url` is where `filter dev` answers; by default that of this folder. */
export async function askDev(
  id: string,
  url: string | undefined,
): Promise<Parsed<{ readonly story: unknown; readonly text: string }>> {
  const at = url ?? (await findRunning());
  if (at === undefined)
    return fault("", `${JSON.stringify(id)} is no file, and no filter dev runs in this folder to ask about a request`);
  try {
    const answer = await fetch(new URL(`requests/${encodeURIComponent(id)}`, at), {
      signal: AbortSignal.timeout(ANSWER_MAX_MS),
    });
    if (answer.status === 404)
      return fault("", `filter dev knows no request ${JSON.stringify(id)}; it keeps the last 500`);
    return { ok: true, value: Told.parse(await answer.json()) };
  } catch (error) {
    // Nobody answers there, or not what filter dev does.
    return fault("--dev", `${at} does not answer: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function findRunning(): Promise<string | undefined> {
  const file = Bun.file(DEV_FILE);
  if (!(await file.exists())) return undefined;
  const parsed = Running.safeParse(await file.json().catch(() => undefined));
  return parsed.data?.url;
}

function fault(path: string, message: string): Parsed<never> {
  return { ok: false, problems: [{ path, message }] };
}
