// A snapshot is checked here as the proxy will check it, and named by its content.
import type { Parsed } from "../../runtime/contract/problem.ts";
import { parseSnapshot, type Snapshot, type Version } from "../../runtime/contract/snapshot.ts";
import { versionOf } from "../../runtime/contract/version.ts";

/** A snapshot that a proxy can be sent. */
export interface NamedSnapshot {
  readonly version: Version;
  readonly snapshot: Snapshot;
}

/** The snapshot with its defaults and its name, or every problem that would make a proxy refuse it. */
export function checkSnapshot(built: unknown): Parsed<NamedSnapshot> {
  const parsed = parseSnapshot(built);
  if (!parsed.ok) return parsed;
  return { ok: true, value: { version: versionOf(parsed.value), snapshot: parsed.value } };
}
