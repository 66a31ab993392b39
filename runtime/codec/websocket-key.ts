// What a WebSocket over HTTP/1.1 proves itself with, and over HTTP/2 does not have (RFC 6455 §4, RFC 8441 §5): where an
// exchange crosses from one to the other, the proxy makes the key or its answer.
import { createHash, getRandomValues } from "node:crypto";

/** A fresh `Sec-WebSocket-Key`. */
export function makeWebSocketKey(): string {
  return Buffer.from(getRandomValues(new Uint8Array(16))).toString("base64");
}

/** The `Sec-WebSocket-Accept` that answers this key (RFC 6455 §4.2.2). */
export function acceptWebSocketKey(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
