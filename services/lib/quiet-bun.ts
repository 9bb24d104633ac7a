/**
 * For the environment of processes that mostly wait. Bun looks each second whether there is garbage
 * to collect, which is half of what such a process does; what is allocated meanwhile is collected as always.
 */
export const QUIET_BUN = { BUN_GC_TIMER_INTERVAL: "30000" } as const;
