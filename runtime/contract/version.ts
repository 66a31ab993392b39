// How a snapshot is named by its content, so that both ends can tell that it arrived as it was sent.
import { Version } from "./snapshot.ts";

/** The version of a snapshot as it is sent: control names it so, and a proxy refuses a push whose name does not fit. */
export function versionOf(snapshot: unknown): Version {
  return Version.parse(new Bun.CryptoHasher("sha256").update(renderCanonical(snapshot)).digest("hex").slice(0, 16));
}

/** JSON with the keys of every object sorted and no white space: equal values have equal texts (RFC 8785, for what snapshots hold). */
export function renderCanonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => renderCanonical(item)).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${renderCanonical(member)}`);
  return `{${members.join(",")}}`;
}
