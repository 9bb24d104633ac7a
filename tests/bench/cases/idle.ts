/** What the relay takes while nothing comes in. */

import { proportionalBytesOf } from "../memory.ts";
import { spent, threadTimes } from "../schedstat.ts";
import type { Column, Effort, Figures, Lane } from "./case.ts";

/** Bun compiles what runs each second, less and less, for some minutes: what comes then is measured. */
const SETTLE_SECONDS = 30;
const SETTLE_LIMIT_SECONDS = 600;
/** Of the least before: whoever takes more than that for three half minutes in a row falls no longer; one alone tells nothing. */
const SETTLED = 0.95;
const SETTLED_LOOKS = 3;
const THOROUGH_SECONDS = 30;
const QUICK_SECONDS = 2;
const MEBIBYTE = 2 ** 20;

export const IDLE_COLUMNS: readonly Column[] = [
	{ key: "cpuPercent", heading: "% OF A CORE", decimals: 2 },
	{ key: "settledSeconds", heading: "SETTLED AFTER s" },
	{ key: "memoryMebibytes", heading: "PSS MiB", decimals: 1 },
	{ key: "processes", heading: "PROCESSES" },
];

export async function idle(lane: Lane, effort: Effort): Promise<Figures> {
	const settles = lane.running.relay !== undefined && !effort.quick;
	const settledSeconds = settles ? await settle(lane) : 0;
	const pids = await lane.network.relayPids();
	const { percent: cpuPercent, ...taken } = await cpuOf(
		pids,
		effort.quick ? QUICK_SECONDS : THOROUGH_SECONDS,
	);
	const figures = {
		cpuPercent,
		settledSeconds,
		memoryMebibytes: proportionalBytesOf(pids) / MEBIBYTE,
		processes: pids.length,
	};
	lane.keep({ ...figures, ...taken });
	return figures;
}

/** Until it falls no longer, or the limit. Seconds. */
async function settle({ network }: Lane): Promise<number> {
	let least = Number.POSITIVE_INFINITY;
	let sinceLess = 0;
	for (let seconds = SETTLE_SECONDS; ; seconds += SETTLE_SECONDS) {
		const { percent } = await cpuOf(await network.relayPids(), SETTLE_SECONDS);
		sinceLess = percent > SETTLED * least ? sinceLess + 1 : 0;
		least = Math.min(least, percent);
		if (sinceLess === SETTLED_LOOKS || seconds >= SETTLE_LIMIT_SECONDS) return seconds;
	}
}

async function cpuOf(pids: readonly number[], seconds: number) {
	const before = threadTimes(pids);
	const beganAt = Bun.nanoseconds();
	await Bun.sleep(seconds * 1_000);
	const { cpuNs, threadsEnded } = spent(before, threadTimes(pids));
	const wallNs = Bun.nanoseconds() - beganAt;
	return { percent: (100 * cpuNs) / wallNs, cpuNs, wallNs, threadsEnded };
}
