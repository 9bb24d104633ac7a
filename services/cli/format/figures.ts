/** Shown where there is no figure to show. */
export const NO_FIGURE = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 1234567 → "1,234,567". */
export function formatCount(count: bigint | number): string {
	return whole.format(count);
}

/** (1, "rule") → "1 rule", (1234, "rule") → "1,234 rules". */
export function formatCounted(count: number, noun: string): string {
	return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** 56000000 → "56.0 Mb/s". */
export function formatBitRate(bitsPerSecond: number | undefined): string {
	if (bitsPerSecond === undefined) return NO_FIGURE;
	const units = ["b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s"];
	let value = bitsPerSecond;
	let unit = 0;
	while (value >= 999.95 && unit < units.length - 1) {
		value /= 1_000;
		unit += 1;
	}
	return `${value.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** A rate that is not known yet has no figure. */
export function formatRate(packetsPerSecond: number | undefined): string {
	return packetsPerSecond === undefined ? NO_FIGURE : formatCount(packetsPerSecond);
}

/** 1048576 → "1.0 MiB". */
export function formatBytes(bytes: bigint): string {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let value = Number(bytes);
	let unit = 0;
	while (value >= 1_023.95 && unit < units.length - 1) {
		value /= 1_024;
		unit += 1;
	}
	return `${value.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** Whole units, the largest that fits: 0.4 → "0s", 75 → "1m", 7300 → "2h". */
export function formatDuration(seconds: number): string {
	if (seconds < 60) return `${Math.floor(seconds)}s`;
	if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
	if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}h`;
	return `${Math.floor(seconds / 86_400)}d`;
}

/** {FRAGMENT: 3n} → "3 FRAGMENT"; nothing dropped → "0". */
export function formatDrops(drops: { readonly [reason: string]: bigint }): string {
	const parts = Object.entries(drops)
		.filter(([, count]) => count > 0n)
		.map(([reason, count]) => `${formatCount(count)} ${reason}`);
	return parts.length === 0 ? "0" : parts.join(", ");
}
