/** From the generator's stamp before its send to the kernel's at arrival, however long the sink then sleeps. */

import { median } from "../percentiles.ts";
import type { Column, Effort, Figures, Lane } from "./case.ts";

export const LATENCY_COLUMNS: readonly Column[] = [
	{ key: "p50", heading: "P50 µs", decimals: 1 },
	{ key: "p99", heading: "P99 µs", decimals: 1 },
	{ key: "p999", heading: "P99.9 µs", decimals: 1 },
	{ key: "lostPercent", heading: "LOST %", decimals: 2 },
	{ key: "stolenPercent", heading: "STOLEN %", decimals: 1 },
];

/** Medians of the percentiles of several trials. */
export async function latency(
	lane: Lane,
	effort: Effort,
	ratePps: number,
	sizeBytes: number,
): Promise<Figures> {
	const found = { p50: [] as number[], p99: [] as number[], p999: [] as number[] };
	const lost: number[] = [];
	const stolen: number[] = [];
	for (let run = 0; run < effort.runs; run++) {
		const trial = await lane.trial({ ratePps, sizeBytes, burst: 1, seconds: effort.seconds });
		lost.push((100 * trial.lostPackets) / trial.expectedPackets);
		stolen.push(trial.stolenPercent);
		const { latencyMicroseconds: measured } = trial;
		if (measured === null) continue;
		found.p50.push(measured.p50);
		found.p99.push(measured.p99);
		found.p999.push(measured.p999);
	}
	if (found.p50.length === 0) return { p50: "nothing came", lostPercent: 100 };
	return {
		p50: median(found.p50),
		p99: median(found.p99),
		p999: median(found.p999),
		lostPercent: median(lost),
		stolenPercent: median(stolen),
	};
}
