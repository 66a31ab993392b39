// An exchange as a filter saw it, kept for running other versions over it: one JSON line of a recording.
import { z } from "zod";
import { SeenVerdict } from "./trial.ts";

/** Name and value, in the order in which they came. */
const Headers = z.array(z.tuple([z.string(), z.string()])).max(1000);

/** A body, or why it is not there. */
export const RecordedBody = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("text"), text: z.string() }),
  z.strictObject({ kind: z.literal("base64"), base64: z.string() }),
  z.strictObject({ kind: z.literal("left_out"), reason: z.string() }),
]);
export type RecordedBody = z.infer<typeof RecordedBody>;

/** The request and the reply as they were before the filter was asked about each. */
export const Recorded = z.strictObject({
  recording: z.literal(1),
  atMs: z.number(),
  /** Name of the use. */
  filter: z.string(),
  /** What decided: `live`, or the candidate for its share. */
  version: z.enum(["live", "candidate"]),
  /** Such as `source.ip` and `metadata.user`, by their names. */
  attributes: z.record(z.string(), z.string()),
  request: z.strictObject({
    method: z.string(),
    path: z.string(),
    authority: z.string(),
    headers: Headers,
    body: RecordedBody.optional(),
    /** What the filter decided, with all of its edits. */
    decided: SeenVerdict.optional(),
  }),
  response: z
    .strictObject({
      status: z.int(),
      headers: Headers,
      body: RecordedBody.optional(),
      decided: SeenVerdict.optional(),
    })
    .optional(),
});
export type Recorded = z.infer<typeof Recorded>;
