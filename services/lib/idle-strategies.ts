/** What a worker's packet thread does when nothing is ready; in the order of enum sluice_idle. */
export const IDLE_STRATEGIES = ["adaptive", "block", "spin"] as const;
