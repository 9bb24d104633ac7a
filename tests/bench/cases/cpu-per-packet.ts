/** CPU of all the relay's processes for each datagram, at the same offered rate for every peer. */

import type { Load } from "../load.ts";
import { median } from "../percentiles.ts";
import type { Column, Effort, Figures, Lane } from "./case.ts";

export const CPU_COLUMNS: readonly Column[] = [
	{ key: "cpuMicroseconds", heading: "CPU µs/PACKET", decimals: 2 },
	{ key: "relayCores", heading: "RELAY CORES", decimals: 2 },
	{ key: "offeredPps", heading: "OFFERED/s" },
	{ key: "lostPercent", heading: "LOST %", decimals: 2 },
	{ key: "p99", heading: "P99 µs" },
	{ key: "stolenPercent", heading: "STOLEN %", decimals: 1 },
];

/** Medians over several trials of one load. */
export async function cpuPerPacket(
	lane: Lane,
	effort: Effort,
	load: Omit<Load, "seconds">,
): Promise<Figures> {
	const cpu: number[] = [];
	const cores: number[] = [];
	const offered: number[] = [];
	const lost: number[] = [];
	const p99: number[] = [];
	const stolen: number[] = [];
	for (let run = 0; run < effort.runs; run++) {
		const trial = await lane.trial({ ...load, seconds: effort.seconds, sinkYields: true });
		cpu.push(trial.cpuNsPerPacket / 1_000);
		cores.push(trial.cpuNs / trial.wallNs);
		offered.push(trial.offeredPps);
		lost.push((100 * trial.lostPackets) / trial.expectedPackets);
		stolen.push(trial.stolenPercent);
		if (trial.latencyMicroseconds !== null) p99.push(trial.latencyMicroseconds.p99);
	}
	return {
		cpuMicroseconds: median(cpu),
		relayCores: median(cores),
		offeredPps: median(offered),
		lostPercent: median(lost),
		stolenPercent: median(stolen),
		...(p99.length > 0 ? { p99: median(p99) } : {}),
	};
}
