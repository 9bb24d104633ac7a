/** What the relay takes while nothing comes in. */

import { proportionalBytesOf } from "../memory.ts";
import { spent, threadTimes } from "../schedstat.ts";
import type { Column, Effort, Figures, Lane } from "./case.ts";

/** After the start: until then Bun compiles what runs each second. */
export const SETTLE_SECONDS = 90;
const THOROUGH_SECONDS = 30;
const QUICK_SECONDS = 2;
const MEBIBYTE = 2 ** 20;

export const IDLE_COLUMNS: readonly Column[] = [
	{ key: "cpuPercent", heading: "% OF A CORE", decimals: 2 },
	{ key: "memoryMebibytes", heading: "PSS MiB", decimals: 1 },
	{ key: "processes", heading: "PROCESSES" },
];

export async function idle(lane: Lane, effort: Effort): Promise<Figures> {
	const settles = lane.running.relay !== undefined && !effort.quick;
	if (settles) await Bun.sleep(SETTLE_SECONDS * 1_000);
	const pids = await lane.network.relayPids();
	const before = threadTimes(pids);
	const beganAt = Bun.nanoseconds();
	await Bun.sleep((effort.quick ? QUICK_SECONDS : THOROUGH_SECONDS) * 1_000);
	const { cpuNs, threadsEnded } = spent(before, threadTimes(pids));
	const wallNs = Bun.nanoseconds() - beganAt;
	const figures = {
		cpuPercent: (100 * cpuNs) / wallNs,
		memoryMebibytes: proportionalBytesOf(pids) / MEBIBYTE,
		processes: pids.length,
	};
	lane.keep({ ...figures, cpuNs, wallNs, threadsEnded });
	return figures;
}
