// Counts a body on its way, and ends it where it goes beyond its limit. Pure.
import type { BodyTransform } from "../../sdk/index.ts";

/** Lets pieces pass up to `bytesMax`, then throws what `refuse` makes of the message. Nothing beyond the limit goes on. */
export function meterBody(bytesMax: number, refuse: (message: string) => Error): BodyTransform {
  let seenBytes = 0;
  return {
    chunk(bytes) {
      seenBytes += bytes.length;
      if (seenBytes > bytesMax) throw refuse(`body is beyond ${bytesMax} bytes`);
    },
  };
}
