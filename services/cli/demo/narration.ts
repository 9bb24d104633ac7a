import { formatCount } from "../format/figures.ts";
import { formatTable } from "../format/table.ts";
import type { Colors } from "../terminal.ts";
import type { Figures, StatsReport } from "./figures.ts";

/** The rule's outputs, in order. */
export const outputs = [
	{ to: "studio 239.10.1.1", address: "239.10.1.1", endpoint: "r1:239.10.1.1:6001" },
	{ to: "studio 239.10.1.2", address: "239.10.1.2", endpoint: "r1:239.10.1.2:6001" },
	{ to: "office 239.20.1.1", address: "239.20.1.1", endpoint: "r2:239.20.1.1:7001" },
] as const;

/** What the relay counts of one of them. */
export function outputStats(stats: StatsReport, address: string) {
	return stats.rules[0]?.outputs.find((output) => output.address === address);
}

/** Everything that was lost inside the relay host, its kernel included. */
export function droppedPackets(stats: StatsReport): number {
	const byRules = stats.rules.flatMap((rule) => Object.values(rule.droppedPackets));
	const byKernel = stats.interfaces.map((entry) => entry.kernelDroppedFrames);
	return [...byRules, ...byKernel].reduce((sum, count) => sum + count, 0);
}

const RATE_WIDTH = 13;

export function formatRateHeading(colors: Colors): string {
	const cells = ["RECEIVED", ...outputs.map((output) => output.address), "DROPPED"];
	return colors.bold(`       ${cells.map((cell) => cell.padStart(RATE_WIDTH)).join("")}`);
}

/** One second of the stream: datagrams per second, and drops so far. */
export function formatRates(second: number, stats: StatsReport): string {
	const rates = [
		stats.rules[0]?.packetsPerSecond ?? 0,
		...outputs.map((output) => outputStats(stats, output.address)?.packetsPerSecond ?? 0),
	];
	const cells = [...rates.map((rate) => `${formatCount(rate)}/s`), formatCount(droppedPackets(stats))];
	return `  ${String(second).padStart(3)} s ${cells.map((cell) => cell.padStart(RATE_WIDTH)).join("")}`;
}

export function formatFigures(figures: Figures, colors: Colors): string {
	return formatTable(
		[
			{ heading: "RECEIVER" },
			{ heading: "SENT", align: "right" },
			{ heading: "RECEIVED", align: "right" },
			{ heading: "LOST", align: "right" },
			{ heading: "DUPLICATED", align: "right" },
			{ heading: "REORDERED", align: "right" },
			{ heading: "CORRUPT", align: "right" },
		],
		figures.outputs.map((output) => [
			output.to,
			formatCount(figures.sentPackets),
			formatCount(output.receivedPackets),
			formatCount(output.lostPackets),
			formatCount(output.duplicatedPackets),
			formatCount(output.reorderedPackets),
			formatCount(output.corruptPackets),
		]),
		colors,
	);
}

/** One sentence about right figures. */
export function formatVerdict({ sentPackets, outputs }: Figures): string {
	return (
		`All ${formatCount(sentPackets)} datagrams arrived at all ${outputs.length} receivers, ` +
		"each exactly once and in order, although a worker was killed."
	);
}
