// What the engine offers to the bundle as modules.

/** The WIT's imports. The error of a result is thrown as an `Error` with its text as the message. */
declare module "vespid:filter/host@2.0.0" {
  const host: {
    log(level: "debug" | "info" | "warn" | "error", message: string, fields: string): void;
    emit(call: number, to: "downstream" | "upstream", bytes: Uint8Array): void;
    text(name: string, request: string, payload: Uint8Array): string;
    bytes(name: string, request: string, payload: Uint8Array): Uint8Array;
  };
  export default host;
}

/** What the engine does for the SDK; ../engine/guest.c says how. */
declare module "vespid:engine" {
  /** Starts an operation of the WIT; the promise becomes what `read` makes of its outcome, or rejects with what `read` throws. */
  export function operate<Value>(
    call: number,
    kind: string,
    request: string,
    payload: Uint8Array,
    read: (outcome: string, payload: Uint8Array) => Value,
  ): Promise<Value>;
  /** Ends the operation of a promise that is pending, which is rejected. */
  export function giveUp(promise: Promise<unknown>, reason: unknown): void;
  /** Nobody waits for a call: it has no answer any more, and the promises of its operations are rejected. */
  export function abort(call: number, reason: unknown): void;
  /**
   * The value of a head's field; `null` where there is none, and `undefined` where it cannot tell: there are edits already,
   * it is `set-cookie`, of which there may be several, or the texts are not Latin-1.
   */
  export function field(lines: string, name: string, edits: readonly string[]): string | null | undefined;
  /** Adds an edit to a list of kinds, names and values; `false` where it is no line of Latin-1, and is not added. */
  export function addEdit(edits: string[], kind: string, name: string, value: string): boolean;
  /** An answer with a line for each of such edits. */
  export function renderEdits(answer: string, edits: readonly string[]): string;
}
