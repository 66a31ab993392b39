// What a supervisor and its workers say to each other. A worker of an older version may hear a newer supervisor, since the
// supervisor is replaced first: what is not known is left alone, and what is not understood changes PROTOCOL.
import { z } from "zod";
import { Told } from "../contract/protocol.ts";
import { Tap } from "../contract/tap.ts";
import { Version } from "../contract/snapshot.ts";

/** Both sides of a channel speak the same one, or the worker is only told to drain (by SIGTERM). */
export const PROTOCOL = 1;

const problems = z.array(z.object({ path: z.string(), message: z.string() }));
const id = z.int();
const rows = z.array(z.int());

/** What a worker may be asked about itself. */
export const Topic = z.enum(["stats", "clusters", "config"]);
export type Topic = z.infer<typeof Topic>;

/** To a worker. */
export const Order = z.discriminatedUnion("kind", [
  /** Build a generation of this snapshot (JSON) beside the one that serves; problems are told by paths from `at` on. */
  z.object({ kind: z.literal("prepare"), id, version: Version, snapshot: z.string(), at: z.string() }),
  /** Swap in what was prepared by that order, or let go of it. */
  z.object({ kind: z.literal("commit"), id }),
  z.object({ kind: z.literal("discard"), id }),
  /** Accept from these rows of sockets and from no others. */
  z.object({ kind: z.literal("serve"), rows }),
  z.object({ kind: z.literal("ask"), id, about: Topic }),
  /** Filters that are looked at from now on. */
  z.object({ kind: z.literal("taps"), taps: z.array(Tap) }),
  /** Close the sockets that are held for others, so that each closes with the last that accepts from it. */
  z.object({ kind: z.literal("release") }),
  /** Accept no more and let connections finish; then end, where it says so. */
  z.object({ kind: z.literal("drain"), exits: z.boolean() }),
]);
export type Order = z.infer<typeof Order>;

/** From a worker. */
export const Report = z.discriminatedUnion("kind", [
  /** First on each connection; the supervisor may be another than before. */
  z.object({
    kind: z.literal("hello"),
    protocol: z.int(),
    token: z.string(),
    pid: z.int(),
    crew: z.int(),
    slot: z.int(),
    /** What it runs. */
    version: Version.optional(),
    rows,
    isDraining: z.boolean(),
  }),
  /** Twice a second: its event loop turns. */
  z.object({ kind: z.literal("beat") }),
  z.object({ kind: z.literal("prepared"), id, problems }),
  z.object({ kind: z.literal("committed"), id }),
  z.object({ kind: z.literal("serving"), rows }),
  /** It cannot work at all, or not on these rows. */
  z.object({ kind: z.literal("failed"), problems }),
  z.object({ kind: z.literal("answer"), id, text: z.string() }),
  /** For control. */
  z.object({ kind: z.literal("told"), told: Told }),
  z.object({ kind: z.literal("released") }),
  /** It was told to end by a signal. */
  z.object({ kind: z.literal("draining") }),
  /** The last: its final counts. */
  z.object({ kind: z.literal("bye"), stats: z.string() }),
]);
export type Report = z.infer<typeof Report>;

/** What a worker is told by its environment when it starts. */
export const Assignment = z.object({
  /** Where the supervisor listens, and what proves that a caller was started by it. */
  channel: z.string(),
  token: z.string(),
  supervisorPid: z.int(),
  crew: z.int(),
  slot: z.int(),
  /** Sockets are inherited from descriptor 3 on: for each port of the proxy in its order, one for each row. */
  rows: z.int(),
  ports: z.array(z.int()),
  /** The descriptor, behind the sockets, of what filters share with other workers. */
  shared: z.int().optional(),
  /** A trial builds what it is given and serves nothing. */
  isTrial: z.boolean(),
  bootstrap: z.unknown(),
});
export type Assignment = z.infer<typeof Assignment>;
