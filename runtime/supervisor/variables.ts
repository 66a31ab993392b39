// Variables by which our processes tell each other who they are.

/** The variable that makes a process a worker. */
export const WORKER_VARIABLE = "VESPID_WORKER";
/** The variable that names the descriptor. */
export const HANDOVER_VARIABLE = "VESPID_HANDOVER";
/** The variable that lists those that the launcher set, so that a new version sets its own. */
export const ENGINE_VARIABLE = "VESPID_ENGINE";
