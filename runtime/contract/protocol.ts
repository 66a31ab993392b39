// What control and a proxy say to each other over the push connection: a WebSocket at `/v1/push`, one JSON message a frame.
import { z } from "zod";
import { Version } from "./snapshot.ts";
import { Tap, TapEvent, TAPS_MAX } from "./tap.ts";
import { TrialReport } from "./trial.ts";

/** Where a proxy connects, below control's address. */
export const PUSH_PATH = "/v1/push";
/** Where a proxy fetches a bundle's file: `/v1/blobs/sha256:…`. */
export const BLOBS_PATH = "/v1/blobs";
/** The largest message either side accepts, bytes. */
export const MESSAGE_MAX_BYTES = 16 * 1024 * 1024;

const problem = z.strictObject({ path: z.string(), message: z.string() });

const Trials = z.strictObject({ kind: z.literal("trials"), trials: z.array(TrialReport).min(1).max(100) });
/** What was seen of one tap, and how much was too much to tell. */
const Tapped = z.strictObject({
  kind: z.literal("tapped"),
  tap: z.string().min(1).max(64),
  events: z.array(TapEvent).max(1000),
  dropped: z.int().min(0),
});

export type Tapped = z.infer<typeof Tapped>;

/** What a proxy tells by itself; nobody answers it. */
export const Told = z.discriminatedUnion("kind", [
  /** Once a second, as long as filters of its snapshot have candidates. */
  Trials,
  /** A few times a second, as long as somebody looks. */
  Tapped,
]);
export type Told = z.infer<typeof Told>;

/** What a proxy says. The first message of a connection is `hello`; then one `ack` or `nack` for each `push`, and what it tells by itself. */
export const ProxyMessage = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("hello"),
    protocol: z.literal(1),
    /** Unique among running proxies: `reviews-v1~4821`. */
    id: z.string().min(1).max(253),
    service: z.string().min(1).max(253),
    namespace: z.string().min(1).max(253),
    labels: z.record(z.string(), z.string()),
    /** What it runs now (from its last good snapshot), or nothing. */
    version: Version.optional(),
  }),
  z.strictObject({ kind: z.literal("ack"), version: Version }),
  z.strictObject({ kind: z.literal("nack"), version: Version, problems: z.array(problem).min(1).max(1000) }),
  Trials,
  Tapped,
]);
export type ProxyMessage = z.infer<typeof ProxyMessage>;

/** What control says. `refused` ends the connection: a hello that control cannot serve. */
export const ControlMessage = z.discriminatedUnion("kind", [
  /** `snapshot` is checked with `parseSnapshot` by the proxy itself, so that a bad one can be refused by path. */
  z.strictObject({ kind: z.literal("push"), version: Version, snapshot: z.unknown() }),
  /** Everything that is to be watched from now on. */
  z.strictObject({ kind: z.literal("taps"), taps: z.array(Tap).max(TAPS_MAX) }),
  z.strictObject({ kind: z.literal("refused"), problems: z.array(problem).min(1) }),
]);
export type ControlMessage = z.infer<typeof ControlMessage>;
