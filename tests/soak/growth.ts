/** Does a process grow? Samples of its memory over time, judged by a slope that outliers do not move. */

export interface Sample {
	readonly atMs: number;
	readonly bytes: number;
}

export interface Growth {
	/** By the slope, over the time that was judged. */
	readonly bytes: number;
	readonly bytesPerHour: number;
	readonly overMs: number;
}

/** As many pairs as this squared, at most. */
const SAMPLES_MAX = 300;
const HOUR_MS = 3_600_000;

/** The median of the slopes between all pairs of samples (Theil and Sen), in bytes per millisecond. */
export function medianSlope(samples: readonly Sample[]): number {
	const slopes: number[] = [];
	samples.forEach((from, index) => {
		for (const to of samples.slice(index + 1)) {
			if (to.atMs !== from.atMs) slopes.push((to.bytes - from.bytes) / (to.atMs - from.atMs));
		}
	});
	slopes.sort((a, b) => a - b);
	const middle = slopes.length >> 1;
	if (slopes.length % 2 === 1) return slopes[middle] ?? 0;
	return ((slopes[middle - 1] ?? 0) + (slopes[middle] ?? 0)) / 2;
}

/** The first third is left out: a runtime compiles and fills its caches. Undefined: too short a life to judge. */
export function growth(samples: readonly Sample[], leastMs: number): Growth | undefined {
	const start = samples[0]?.atMs ?? 0;
	const end = samples.at(-1)?.atMs ?? 0;
	const judged = samples.filter(({ atMs }) => atMs - start >= (end - start) / 3);
	const overMs = end - (judged[0]?.atMs ?? end);
	if (overMs < leastMs) return undefined;
	const step = Math.max(1, Math.ceil(judged.length / SAMPLES_MAX));
	const slope = medianSlope(judged.filter((_, index) => index % step === 0));
	return { bytes: slope * overMs, bytesPerHour: slope * HOUR_MS, overMs };
}
