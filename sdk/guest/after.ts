/** What a call left to look at before it is answered, in one place: most leave nothing, and each question costs an interpreter a call. */
export interface After {
  /** There are measurements, or somebody has asked for a signal. */
  isDue: boolean;
}

/** The guest's own; the engine reads it too. */
export const after: After = { isDue: false };
