import type { GetStatsResponse, InterfaceStats, OutputStats, RuleStats } from "@sluice/proto/gen/stats";
import { formatEndpoint } from "../parse/endpoint.ts";
import type { Colors } from "../terminal.ts";
import { formatBitRate, formatCount, formatDrops } from "./figures.ts";
import { formatSilence } from "./rules.ts";
import { formatTable } from "./table.ts";

/** Three tables: rules, their outputs, input interfaces; a rule on several hosts also has a line for each. */
export function formatStats(stats: GetStatsResponse, colors: Colors): string {
	const tables: string[] = [];
	if (stats.rules.length === 0) tables.push("no rules yet: add one with sluice rule add\n");
	else tables.push(formatRules(stats.rules, colors), formatOutputs(stats.rules, colors));
	if (stats.interfaces.length > 0) tables.push(formatInterfaces(stats.interfaces, colors));
	return tables.join("\n");
}

function formatRules(rules: RuleStats[], colors: Colors): string {
	const rows = rules.flatMap((rule) => {
		const hosts = rule.hosts.length > 1 ? rule.hosts : [];
		return [
			[rule.name, ...trafficCells(rule), formatSilence(rule)],
			...hosts.map((host) => [`  on ${host.host}`, ...trafficCells(host), ""]),
		];
	});
	return formatTable(
		[
			{ heading: "RULE" },
			{ heading: "RECEIVED", align: "right" },
			{ heading: "FORWARDED", align: "right" },
			{ heading: "DROPPED", align: "right" },
			{ heading: "PPS", align: "right" },
			{ heading: "RATE", align: "right" },
			{ heading: "SILENT", align: "right" },
		],
		rows,
		colors,
	);
}

type Traffic = Pick<
	RuleStats,
	"receivedPackets" | "forwardedPackets" | "droppedPackets" | "packetsPerSecond" | "bitsPerSecond"
>;

function trafficCells(traffic: Traffic): string[] {
	return [
		formatCount(traffic.receivedPackets),
		formatCount(traffic.forwardedPackets),
		formatDrops(traffic.droppedPackets),
		formatCount(traffic.packetsPerSecond),
		formatBitRate(traffic.bitsPerSecond),
	];
}

/** What a column says of ICMP answers is of interest only where there are any. */
function formatOutputs(rules: RuleStats[], colors: Colors): string {
	const answered = rules.some((rule) => rule.outputs.some((output) => output.unreachableAnswers > 0n));
	const rows = rules.flatMap((rule) =>
		rule.outputs.map((output, index) => [
			index === 0 ? rule.name : "",
			formatEndpoint(output.interface, output.address, output.port),
			formatCount(output.eligiblePackets),
			formatCount(output.sentPackets),
			formatFailed(output),
			formatCount(output.limitedPackets),
			formatCount(output.packetsPerSecond),
			...(answered ? [formatCount(output.unreachableAnswers)] : []),
		]),
	);
	return formatTable(
		[
			{ heading: "RULE" },
			{ heading: "OUTPUT" },
			{ heading: "ELIGIBLE", align: "right" },
			{ heading: "SENT", align: "right" },
			{ heading: "FAILED", align: "right" },
			{ heading: "LIMITED", align: "right" },
			{ heading: "PPS", align: "right" },
			...(answered ? [{ heading: "UNREACHABLE ANSWERS", align: "right" } as const] : []),
		],
		rows,
		colors,
	);
}

/** A worker of an older version gives no reasons. */
function formatFailed({ failedByReason, failedPackets }: OutputStats): string {
	return Object.keys(failedByReason).length > 0 ? formatDrops(failedByReason) : formatCount(failedPackets);
}

function formatInterfaces(interfaces: InterfaceStats[], colors: Colors): string {
	return formatTable(
		[
			{ heading: "HOST" },
			{ heading: "INTERFACE" },
			{ heading: "CAPTURED", align: "right" },
			{ heading: "KERNEL DROPPED", align: "right" },
			{ heading: "UNMATCHED", align: "right" },
			{ heading: "DROPPED", align: "right" },
		],
		interfaces.map((entry) => [
			entry.host,
			entry.interface,
			formatCount(entry.capturedFrames),
			formatCount(entry.kernelDroppedFrames),
			formatCount(entry.unmatchedPackets),
			formatDrops(entry.droppedPackets),
		]),
		colors,
	);
}
