// Giving an artifact to the control service.
import { z } from "zod";
import { Digest, Manifest } from "../../runtime/contract/bundle.ts";
import type { Parsed, Problem } from "../../runtime/contract/problem.ts";

/** Where an artifact goes. */
export interface PushTarget {
  /** Control's address, a URL: `http://127.0.0.1:15010`. */
  readonly control: string;
  readonly token: string;
}

const Pushed = z.object({ digest: Digest, manifest: Manifest });
/** What control says of an artifact that it took. */
export type Pushed = z.infer<typeof Pushed>;

const Refusal = z.object({
  title: z.string().optional(),
  detail: z.string().optional(),
  problems: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
});

const ANSWER_MAX_MS = 60_000;

/** Pushes an artifact; what went wrong comes back as problems, with control's own where it answered. */
export async function pushArtifact(artifact: Uint8Array, { control, token }: PushTarget): Promise<Parsed<Pushed>> {
  const url = new URL("v1/bundles", control.endsWith("/") ? control : `${control}/`);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/wasm" },
      body: new Blob([new Uint8Array(artifact)]),
      signal: AbortSignal.timeout(ANSWER_MAX_MS),
    });
    return readAnswer(response.status, await response.text(), url);
  } catch (error) {
    // fetch throws where there is no answer: refused, reset, unknown host, timeout.
    return fault(
      "--control",
      `${url.origin} does not answer: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function readAnswer(status: number, text: string, url: URL): Parsed<Pushed> {
  const value = parseJson(text);
  if (status === 200 || status === 201) {
    const pushed = Pushed.safeParse(value);
    if (pushed.success) return { ok: true, value: pushed.data };
  }
  if (status === 401 || status === 403)
    return fault("--token", `was not accepted by ${url.origin} (${status}); control printed it when it first ran`);
  const refusal = Refusal.safeParse(value);
  const problems = refusal.data?.problems ?? [];
  if (problems.length > 0) return { ok: false, problems };
  const reason = refusal.data?.detail ?? refusal.data?.title ?? text.slice(0, 200);
  return fault("--control", `${url.href} answered ${status}, which is no answer of a control service: ${reason}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: whatever answered was not a control service.
    return undefined;
  }
}

function fault(path: string, message: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ path, message }] };
}
