// Bytes as authors handle them: given as text or bytes, taken as either.

/** What may stand where bytes are wanted; text is sent as UTF-8. */
export type Content = string | Uint8Array;

/** The bytes of a content. */
export function bytesOf(content: Content): Uint8Array {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}

/** The text of bytes that are UTF-8; what is not reads as U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return bytes.length === 0 ? "" : new TextDecoder().decode(bytes);
}
