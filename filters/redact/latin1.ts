// Bytes as a text whose characters are they, and back: what is searched as a text, and cut by bytes.

/** Each byte a character U+0000 to U+00FF. */
export function latin1Text(bytes: Uint8Array): string {
  return atob(bytes.toBase64());
}

/** The way back. */
export function latin1Bytes(text: string): Uint8Array {
  return Uint8Array.fromBase64(btoa(text));
}
