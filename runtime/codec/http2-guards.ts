// What one peer may make the proxy do for nothing. HTTP/2 has many frames that cost their sender little and their receiver
// work or memory; each is counted here, with Envoy's bounds, and beyond one the connection ends with ENHANCE_YOUR_CALM.
import type { Http2Options, Http2Server } from "../contract/http2.ts";

/** Envoy's allowance for WINDOW_UPDATE frames before any DATA was sent. */
const WINDOW_UPDATES_FREE = 5;

/** Counts one connection's frames. Each method answers what flood it is, or an empty string. */
export class FloodGuard {
  /** Streams that the connection ever had. */
  streamsOpened = 0;
  dataFramesSent = 0;
  readonly #options: Http2Options;
  #emptyInARow = 0;
  #priorities = 0;
  #windowUpdates = 0;
  #controls = 0;
  #premature = 0;

  constructor(options: Http2Options) {
    this.#options = options;
  }

  /** DATA, HEADERS or CONTINUATION. `isUseless` is without payload, and ends neither a stream nor a head (CVE-2019-9518). */
  framed(isUseless: boolean): string {
    if (!isUseless) {
      this.#emptyInARow = 0;
      return "";
    }
    this.#emptyInARow++;
    return this.#emptyInARow > this.#options.maxConsecutiveInboundFramesWithEmptyPayload ? "empty frames" : "";
  }

  /** PRIORITY (CVE-2019-9513). */
  priority(): string {
    this.#priorities++;
    const most = this.#options.maxInboundPriorityFramesPerStream * (1 + this.streamsOpened);
    return this.#priorities > most ? "PRIORITY frames" : "";
  }

  /** WINDOW_UPDATE (CVE-2019-9511: a window opened byte by byte makes a frame of each byte). */
  windowUpdate(): string {
    this.#windowUpdates++;
    const paid = this.#options.maxInboundWindowUpdateFramesPerDataFrameSent * this.dataFramesSent;
    return this.#windowUpdates > WINDOW_UPDATES_FREE + 2 * (this.streamsOpened + paid) ? "WINDOW_UPDATE frames" : "";
  }

  /** PING or SETTINGS (CVE-2019-9512, CVE-2019-9515). `weight` is what it costs, in frames. */
  control(weight = 1): string {
    this.#controls += weight;
    return this.#controls > this.#options.maxInboundControlFrames ? "PING or SETTINGS frames" : "";
  }

  /** A quarter of a second is over. */
  swept(): void {
    this.#controls = 0;
  }

  /** What waits for a peer that does not read. */
  outbound(queuedFrames: number, queuedControlFrames: number): string {
    if (queuedControlFrames > this.#options.maxOutboundControlFrames) return "answers that are not read";
    return queuedFrames > this.#options.maxOutboundFrames ? "frames that are not read" : "";
  }

  /** A stream ended before it could be answered, by its client or by its client's fault (CVE-2023-44487, CVE-2025-8671). */
  premature(options: Http2Server): string {
    this.#premature++;
    const isFlood =
      this.streamsOpened >= options.prematureResetTotalStreamCount && this.#premature * 2 >= this.streamsOpened;
    return isFlood ? "streams that are reset at once" : "";
  }
}
