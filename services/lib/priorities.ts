/** How packet threads come before what else wants their CPUs: by a nice value, or by SCHED_RR. */
export const PRIORITIES = ["nice", "realtime"] as const;

export type Priority = (typeof PRIORITIES)[number];
