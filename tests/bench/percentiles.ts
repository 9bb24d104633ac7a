/** The smallest of the values that at least this fraction (above 0, up to 1) of them does not exceed. */
export function percentile(values: readonly number[], fraction: number): number {
	const sorted = values.toSorted((a, b) => a - b);
	const found = sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)];
	if (found === undefined) throw new Error("a percentile of nothing");
	return found;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
	const sorted = values.toSorted((a, b) => a - b);
	const upper = sorted[Math.floor(sorted.length / 2)];
	const lower = sorted[Math.floor((sorted.length - 1) / 2)];
	if (upper === undefined || lower === undefined) throw new Error("the median of nothing");
	return (lower + upper) / 2;
}
