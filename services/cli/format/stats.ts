import type {
	GetStatsResponse,
	InterfaceStats,
	OutputStats,
	RuleHostStats,
	RuleStats,
} from "@sluice/proto/gen/stats";
import { formatEndpoint } from "../parse/endpoint.ts";
import type { Colors } from "../terminal.ts";
import { formatBitRate, formatCount, formatDrops, formatDuration, formatRate } from "./figures.ts";
import { formatSilence } from "./rules.ts";
import { formatTable } from "./table.ts";

/** Three tables: rules, their outputs, input interfaces; a rule on several hosts, or on one that is silent, has a line for each. */
export function formatStats(stats: GetStatsResponse, colors: Colors): string {
	const tables: string[] = [];
	if (stats.rules.length === 0) tables.push("no rules yet: add one with sluice rule add\n");
	else tables.push(formatRules(stats.rules, colors), formatOutputs(stats.rules, colors));
	if (stats.interfaces.length > 0) tables.push(formatInterfaces(stats.interfaces, colors));
	return tables.join("\n");
}

function formatRules(rules: RuleStats[], colors: Colors): string {
	const rows = rules.flatMap((rule) => {
		const worthALine =
			rule.hosts.length > 1 || rule.hosts.some((host) => host.stale || host.workers.length > 0);
		const total = [rule.name, ...trafficCells(rule), formatSilence(rule)];
		if (!worthALine) return [total];
		return [total, ...rule.hosts.flatMap((host) => hostRows(host, colors)), ...formerRow(rule)];
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

function hostRows(host: RuleHostStats, colors: Colors): string[][] {
	return [
		[`  on ${host.host}${formatAge(host, colors)}`, ...trafficCells(host), ""],
		...host.workers.map((worker) => [
			`    worker ${worker.worker}${formatAge(worker, colors)}`,
			...trafficCells(worker),
			"",
		]),
	];
}

/** A host begins at zero with its `up`; so that the lines add up. */
function formerRow({ former }: RuleStats): string[][] {
	if (former === undefined) return [];
	const { receivedPackets, forwardedPackets, droppedPackets } = former;
	return [
		[
			"  before their last start",
			formatCount(receivedPackets),
			formatCount(forwardedPackets),
			formatDrops(droppedPackets),
			"",
			"",
			"",
		],
	];
}

/** Last figures of whoever is silent: ", 40s old". */
function formatAge({ stale, ageSeconds }: { stale: boolean; ageSeconds: number }, colors: Colors): string {
	return stale ? colors.yellow(`, ${formatDuration(ageSeconds)} old`) : "";
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
		formatRate(traffic.packetsPerSecond),
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
			formatRate(output.packetsPerSecond),
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
			`${entry.host}${formatAge(entry, colors)}`,
			entry.interface,
			formatCount(entry.capturedFrames),
			formatCount(entry.kernelDroppedFrames),
			formatCount(entry.unmatchedPackets),
			formatDrops(entry.droppedPackets),
		]),
		colors,
	);
}
