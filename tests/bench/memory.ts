/** Memory of processes, shared pages divided among those who share them. */

import { readFileSync } from "node:fs";

/** Of one /proc/PID/smaps_rollup. */
export function proportionalBytes(rollup: string): number {
	const kibibytes = /^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1];
	if (kibibytes === undefined) throw new Error("no Pss in a smaps_rollup");
	return Number(kibibytes) * 1_024;
}

/** Of all these processes; one that ended has none. */
export function proportionalBytesOf(pids: readonly number[]): number {
	return pids.reduce((sum, pid) => sum + (readRollup(pid) ?? 0), 0);
}

function readRollup(pid: number): number | undefined {
	try {
		return proportionalBytes(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
	} catch (error) {
		const code = (error as NodeJS.ErrnoException).code;
		if (code === "ENOENT" || code === "ESRCH") return undefined;
		throw error;
	}
}
