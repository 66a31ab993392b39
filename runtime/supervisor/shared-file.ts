// The file in memory that workers map: what filters share between them. It has no name, and ends with the last process that
// has it; a hot restart keeps it.
import { closeSync } from "node:fs";
import { SHARED_LAYOUT, sizeSharedFile } from "../host/shared-memory.ts";
import type { Handover } from "./handover.ts";
import { openMemoryFile } from "./libc.ts";

/** The descriptor of the one before, where it is laid out as this version lays it out, or of a new one. Throws. */
export function openSharedFile(before: Handover | undefined): number {
  const kept = before?.shared;
  if (kept?.layout === SHARED_LAYOUT) return kept.fd;
  // Workers of the version before have it until they have drained.
  if (kept !== undefined) closeSync(kept.fd);
  const fd = openMemoryFile("vespid-shared");
  sizeSharedFile(fd);
  return fd;
}
