// Changes to a body, by its bytes: everything between them stays as it is.
/** Bytes from `start` to `end` become `text`, in UTF-8. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const encoder = new TextEncoder();

/** A body with edits, which are in order and apart. */
export function applyEdits(bytes: Uint8Array, edits: readonly Edit[]): Uint8Array {
  const texts = edits.map(({ text }) => encoder.encode(text));
  let length = bytes.length;
  for (const [index, { start, end }] of edits.entries()) length += (texts[index]?.length ?? 0) - (end - start);
  const edited = new Uint8Array(length);
  let from = 0;
  let to = 0;
  for (const [index, { start, end }] of edits.entries()) {
    edited.set(bytes.subarray(from, start), to);
    to += start - from;
    const text = texts[index] ?? NOTHING;
    edited.set(text, to);
    to += text.length;
    from = end;
  }
  edited.set(bytes.subarray(from), to);
  return edited;
}

const NOTHING = new Uint8Array();
