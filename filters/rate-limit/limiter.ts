// Whether a request is within its limits. Pure, over the shared counters.
import { hash, type Shared } from "../../sdk/index.ts";
import { takeToken, type Standing } from "./bucket.ts";
import type { KeyPart, Limit } from "./config.ts";

/** What a limit looks at. */
export interface Subject {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly ip: string;
  readonly principal: string | undefined;
  header(name: string): string | null;
  metadata(name: string): string | undefined;
}

/** How a request stands with the limit that is closest. */
export interface Judgement extends Standing {
  readonly limit: Limit;
}

/** Longer keys are counted by their digest. */
const KEY_MAX_LENGTH = 200;

/** Counts the request; `undefined` where no limit is about it. The first that is passed ends it, else the one with the least left. */
export function judge(limits: readonly Limit[], subject: Subject, shared: Shared): Judgement | undefined {
  let closest: Judgement | undefined;
  for (const limit of limits) {
    const key = isUnder(limit, subject) ? keyOf(limit, subject) : undefined;
    if (key === undefined) continue;
    const standing = limit.bucket === undefined ? countIn(shared, key, limit) : takeToken(shared, key, limit.bucket);
    const judgement = { limit, ...standing };
    if (!standing.isAllowed) return judgement;
    if (closest === undefined || standing.remaining < closest.remaining) closest = judgement;
  }
  return closest;
}

function countIn(shared: Shared, key: string, { requests, per }: Limit): Standing {
  const { ok, remaining, resetMs } = shared.incr(key, 1, { windowMs: per, limit: requests });
  return { isAllowed: ok, remaining, resetMs };
}

function isUnder({ when }: Limit, subject: Subject): boolean {
  if (when.path !== undefined && !subject.path.startsWith(when.path)) return false;
  if (when.method !== undefined && when.method !== subject.method) return false;
  for (const [name, value] of Object.entries(when.headers)) if (subject.header(name) !== value) return false;
  for (const [name, value] of Object.entries(when.metadata)) if (subject.metadata(name) !== value) return false;
  return true;
}

/** Parts are told apart whatever they hold: lengths stand before them. */
function keyOf({ name, key }: Limit, subject: Subject): string | undefined {
  let text = name;
  for (const part of key) {
    const value = valueOf(part, subject);
    if (value === undefined || value === null || value === "") return undefined;
    text += ` ${value.length}:${value}`;
  }
  return text.length > KEY_MAX_LENGTH ? `${name} ${hash("sha-256", text).toHex()}` : text;
}

function valueOf({ by, header, metadata }: KeyPart, subject: Subject): string | undefined | null {
  if (header !== undefined) return subject.header(header);
  if (metadata !== undefined) return subject.metadata(metadata);
  switch (by) {
    case "ip":
      return subject.ip;
    case "principal":
      return subject.principal;
    case "path":
      return subject.path.split("?", 1)[0];
    case "method":
      return subject.method;
    case undefined:
      return undefined;
  }
}
