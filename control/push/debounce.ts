// Many changes in a row become one publication.

export interface DebounceTiming {
  /** Publish after this long without a change. Default 100 ms, as Istio. */
  readonly quietMs: number;
  /** Publish after this long at the latest, however many changes keep coming. Default 10 s, as Istio. */
  readonly waitMaxMs: number;
}

export const DEBOUNCE: DebounceTiming = { quietMs: 100, waitMaxMs: 10_000 };

/** What a change calls for. */
export type DebounceState =
  | { readonly kind: "quiet"; readonly lastAtMs: number }
  /** `firstAtMs`: the oldest change that is not published yet. */
  | { readonly kind: "waiting"; readonly firstAtMs: number; readonly dueAtMs: number };

/** Pure: what one more change does. A change after a quiet time is published at once, since there is nothing to merge it with; those that follow it are merged. */
export function stepChanged(state: DebounceState, nowMs: number, timing: DebounceTiming): DebounceState {
  if (state.kind === "quiet") {
    if (nowMs - state.lastAtMs >= timing.quietMs) return { kind: "waiting", firstAtMs: nowMs, dueAtMs: nowMs };
    return { kind: "waiting", firstAtMs: nowMs, dueAtMs: nowMs + timing.quietMs };
  }
  const dueAtMs = Math.min(nowMs + timing.quietMs, state.firstAtMs + timing.waitMaxMs);
  return { ...state, dueAtMs };
}

/** The shell: a timer around `stepChanged`. `now` is monotonic. */
export function createDebounce(
  publish: () => void,
  timing: DebounceTiming,
  now: () => number,
): { changed(): void; stop(): void } {
  let state: DebounceState = { kind: "quiet", lastAtMs: Number.NEGATIVE_INFINITY };
  let timer: ReturnType<typeof setTimeout> | undefined;

  function run() {
    state = { kind: "quiet", lastAtMs: now() };
    timer = undefined;
    publish();
  }
  return {
    changed() {
      state = stepChanged(state, now(), timing);
      clearTimeout(timer);
      if (state.kind === "waiting") timer = setTimeout(run, Math.max(0, state.dueAtMs - now()));
    },
    stop() {
      clearTimeout(timer);
    },
  };
}
