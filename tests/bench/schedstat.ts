/**
 * CPU time from /proc/PID/task/TID/schedstat, in nanoseconds as the scheduler counts it; the figures of
 * /proc/PID/stat are sampled by ticks, and off by up to ten times.
 */

import { readdirSync, readFileSync } from "node:fs";

/** Nanoseconds on a CPU since the thread began, by "PID/TID". */
export type ThreadTimes = ReadonlyMap<string, number>;

/** The first of the three figures: time on a CPU, time waiting for one, number of time slices. */
export function runNs(schedstat: string): number {
	const text = /^(\d+) \d+ \d+$/.exec(schedstat.trim())?.[1];
	if (text === undefined) throw new Error(`not a schedstat: ${schedstat}`);
	return Number(text);
}

/** Of every thread of these processes; what ends meanwhile is left out. `proc` is for tests. */
export function threadTimes(pids: readonly number[], proc = "/proc"): ThreadTimes {
	const times = new Map<string, number>();
	for (const pid of pids) {
		for (const thread of unlessGone(() => readdirSync(`${proc}/${pid}/task`)) ?? []) {
			const text = unlessGone(() => readFileSync(`${proc}/${pid}/task/${thread}/schedstat`, "utf8"));
			if (text !== undefined) times.set(`${pid}/${thread}`, runNs(text));
		}
	}
	return times;
}

function unlessGone<T>(read: () => T): T | undefined {
	try {
		return read();
	} catch (error) {
		const code = (error as NodeJS.ErrnoException).code;
		if (code === "ENOENT" || code === "ESRCH") return undefined;
		throw error;
	}
}

export interface Spent {
	readonly cpuNs: number;
	/** Threads that ended in between: what they used since is not known. */
	readonly threadsEnded: number;
}

/** A thread that began in between counts from its beginning. */
export function spent(before: ThreadTimes, after: ThreadTimes): Spent {
	let cpuNs = 0;
	for (const [thread, ns] of after) cpuNs += ns - (before.get(thread) ?? 0);
	const threadsEnded = [...before.keys()].filter((thread) => !after.has(thread)).length;
	return { cpuNs, threadsEnded };
}
