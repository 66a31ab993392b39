// AbortController and AbortSignal (WHATWG DOM), for the one event that they have.

interface AbortEvent {
  readonly type: "abort";
  readonly target: AbortSignal;
}

type Listener = ((event: AbortEvent) => void) | { handleEvent(event: AbortEvent): void };

/** Whether something is wanted still. */
export class AbortSignal {
  #isAborted = false;
  #reason: unknown = undefined;
  readonly #listeners = new Set<Listener>();
  readonly #once = new Set<Listener>();
  onabort: ((event: AbortEvent) => void) | null = null;

  get aborted(): boolean {
    return this.#isAborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    // oxlint-disable-next-line typescript/only-throw-error -- The reason is whatever the author gave.
    if (this.#isAborted) throw this.#reason;
  }

  addEventListener(kind: string, listener: Listener | null, options?: boolean | { readonly once?: boolean }): void {
    if (kind !== "abort" || listener === null || this.#isAborted || this.#listeners.has(listener)) return;
    this.#listeners.add(listener);
    if (typeof options === "object" && options.once === true) this.#once.add(listener);
  }

  removeEventListener(kind: string, listener: Listener | null): void {
    if (kind !== "abort" || listener === null) return;
    this.#listeners.delete(listener);
    this.#once.delete(listener);
  }

  /** Already aborted. */
  static abort(reason?: unknown): AbortSignal {
    const controller = new AbortController();
    controller.abort(reason);
    return controller.signal;
  }

  /** Aborted with the first of these. */
  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const controller = new AbortController();
    for (const signal of signals) {
      if (signal.aborted) {
        controller.abort(signal.reason);
        break;
      }
      signal.addEventListener("abort", () => controller.abort(signal.reason));
    }
    return controller.signal;
  }

  /** The controller's alone. */
  static settle(signal: AbortSignal, reason: unknown): void {
    if (signal.#isAborted) return;
    signal.#isAborted = true;
    signal.#reason = reason;
    const event: AbortEvent = { type: "abort", target: signal };
    const listeners = [...signal.#listeners];
    signal.#listeners.clear();
    signal.onabort?.(event);
    for (const listener of listeners) {
      if (typeof listener === "function") listener(event);
      else listener.handleEvent(event);
    }
  }
}

/** Who may say that something is not wanted any more. */
export class AbortController {
  readonly signal: AbortSignal = new AbortSignal();

  abort(reason: unknown = new DOMException("this operation was aborted", "AbortError")): void {
    AbortSignal.settle(this.signal, reason);
  }
}
