// Who runs what, as the API and the CLI show it.
import type { Problem } from "../../runtime/contract/problem.ts";
import type { Version } from "../../runtime/contract/snapshot.ts";
import type { Session } from "./session.ts";

/** `synced`: it runs what is wanted. `pushing`: it was sent and has not answered, or will be sent what changed. `refused`: it answered no and runs what it ran. `unpublishable`: there is no snapshot that it could be sent. */
export type SyncStatus = "synced" | "pushing" | "refused" | "unpublishable";

/** One connected proxy. */
export interface ProxyStatus {
  readonly id: string;
  readonly service: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly status: SyncStatus;
  /** What it runs. */
  readonly version: Version | undefined;
  /** What it should run. */
  readonly wanted: Version | undefined;
  /** The version that it refused and why; tried again with growing waits. */
  readonly refused: Session["rejected"];
  /** Why there is no snapshot for it. */
  readonly problems: readonly Problem[];
  readonly connectedAtMs: number;
  /** From the last push to its answer, milliseconds. */
  readonly lastPushMs: number | undefined;
}

/** What one session amounts to. `isDue`: something changed since `wanted` was made. */
export function statusOf(
  session: Session,
  { wanted, problems, isDue }: Pick<ProxyStatus, "wanted" | "problems"> & { readonly isDue: boolean },
): SyncStatus {
  if (problems.length > 0) return "unpublishable";
  if (session.rejected !== undefined) return "refused";
  return session.inFlight === undefined && session.acked === wanted && !isDue ? "synced" : "pushing";
}
