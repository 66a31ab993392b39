// Texts on their way: what may be a part of a secret waits for what follows, in windows as `search.ts` has them.
import { latin1Bytes, latin1Text } from "./latin1.ts";
import { searchNext, WINDOW, type Pattern } from "./search.ts";

/** Ends of events (WHATWG HTML §9.2.6): whoever waits for one must not wait for the next. */
const EVENT_ENDS = ["\n\n", "\r\n\r\n", "\r\r"] as const;
const NOTHING = new Uint8Array();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** A text in pieces, each of which gives out what is certain by then. */
export interface TextRedactor {
  chunk(bytes: Uint8Array): Uint8Array;
  end(): Uint8Array;
}

/** How a text arrives. */
export interface TextOptions {
  /** Secrets end where an event does, and events go on at once. */
  readonly isEvents: boolean;
  /** Called for every secret. */
  readonly found: () => void;
}

/** Hides what patterns find in a body that is text: UTF-8, and from where it is not that, byte for byte. */
export function redactingText(patterns: readonly Pattern[], { isEvents, found }: TextOptions): TextRedactor {
  let isUtf8 = true;
  /** The beginning of a character. */
  let rest: Uint8Array = NOTHING;
  let held = "";
  /** What is held before it went on already: a character that patterns look back at. */
  let from = 0;

  function hold(bytes: Uint8Array, isLast: boolean): void {
    const all = rest.length === 0 ? bytes : new Uint8Array([...rest, ...bytes]);
    if (isUtf8) {
      const end = isLast ? all.length : completeLength(all);
      try {
        held += strict.decode(all.subarray(0, end));
        rest = all.slice(end);
        return;
      } catch {
        // Not UTF-8: what waits becomes the bytes that it was.
        isUtf8 = false;
        held = held.slice(0, from) + latin1Text(encoder.encode(held.slice(from)));
      }
    }
    rest = NOTHING;
    held += latin1Text(all);
  }

  function release(isLast: boolean): Uint8Array {
    let out = "";
    const complete = isEvents && !isLast ? Math.max(...EVENT_ENDS.map((end) => behindLast(held, end))) : 0;
    const least = isLast ? 1 : WINDOW;
    while (from < complete || held.length - from >= least) {
      const isComplete = from < complete;
      const text = isComplete ? held.slice(0, complete) : held;
      const { known, end } = searchNext(patterns, text, from, isLast || isComplete);
      for (const secret of known) {
        found();
        out += held.slice(from, secret.start) + secret.text;
        from = secret.end;
      }
      out += held.slice(from, end);
      from = end;
    }
    held = held.slice(Math.max(0, from - 1));
    from = Math.min(from, 1);
    return isUtf8 ? encoder.encode(out) : latin1Bytes(out);
  }

  return {
    chunk(bytes) {
      hold(bytes, false);
      return release(false);
    },
    end() {
      hold(NOTHING, true);
      return release(true);
    },
  };
}

function behindLast(text: string, end: string): number {
  const at = text.lastIndexOf(end);
  return at < 0 ? 0 : at + end.length;
}

/** Bytes up to the last character that may be whole: the three at the end tell. */
function completeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return bytes.length;
    if (byte < 0xc0) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
