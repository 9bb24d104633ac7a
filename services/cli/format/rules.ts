import { formatLabels } from "@sluice/lib/labels";
import type { Rule, RuleStatus } from "@sluice/proto/gen/rule";
import type { RuleStats } from "@sluice/proto/gen/stats";
import { formatInput, formatOutput } from "../parse/rule.ts";
import type { Colors } from "../terminal.ts";
import { formatDuration, formatRate, NO_FIGURE } from "./figures.ts";
import { formatStates } from "./states.ts";
import { formatTable } from "./table.ts";

/**
 * @param stats by rule name; undefined: the aggregator did not answer.
 * @param limit characters a line of the terminal holds.
 */
export function formatRuleList(
	rules: RuleStatus[],
	stats: ReadonlyMap<string, RuleStats> | undefined,
	colors: Colors,
	limit?: number,
): string {
	if (rules.length === 0) return "no rules yet: add one with sluice rule add\n";
	const rows = rules.map((status) => {
		const figures = stats?.get(status.name);
		return [
			status.name,
			status.rule?.input ? formatInput(status.rule.input) + formatSources(status.rule) : NO_FIGURE,
			formatOutputs(status.rule),
			formatStates(status, colors).join("; "),
			formatRate(figures?.packetsPerSecond),
			formatSilence(figures),
		];
	});
	return formatTable(
		[
			{ heading: "NAME" },
			{ heading: "INPUT", wraps: true },
			{ heading: "OUTPUTS", wraps: true },
			{ heading: "STATE", wraps: true },
			{ heading: "PPS", align: "right" },
			{ heading: "SILENT", align: "right" },
		],
		rows,
		colors,
		limit,
	);
}

/** "never" for a rule that never saw a datagram. */
export function formatSilence(stats: RuleStats | undefined): string {
	if (!stats) return NO_FIGURE;
	return stats.silentSeconds === undefined ? "never" : formatDuration(stats.silentSeconds);
}

/** Everything about one rule, one thing a line. */
export function formatRule(status: RuleStatus, colors: Colors): string {
	const rule = status.rule;
	const lines: [string, string][] = [["rule", status.name]];
	if (rule?.input) lines.push(["input", formatInput(rule.input)]);
	for (const source of rule?.input?.sources ?? []) lines.push(["source", source]);
	for (const output of rule?.outputs ?? []) lines.push(["output", formatOutput(output)]);
	lines.push(["hosts", formatPlacement(rule)]);
	for (const state of formatStates(status, colors)) lines.push(["state", state]);
	lines.push(["revision", String(status.revision)], ["uid", status.uid]);
	return lines.map(([label, value]) => `${colors.bold(label.padEnd(10))}${value}\n`).join("");
}

function formatPlacement(rule: Rule | undefined): string {
	if (rule && rule.hosts.length > 0) return rule.hosts.join(", ");
	const labels = formatLabels(rule?.hostLabels ?? {});
	return labels === "" ? "the one that has the input interface" : `every one that carries ${labels}`;
}

function formatSources(rule: Rule): string {
	const [first, ...others] = rule.input?.sources ?? [];
	if (first === undefined) return "";
	return others.length === 0 ? ` from ${first}` : ` from ${first} +${others.length}`;
}

/** The first output and how many more: a rule may have 256 of them. */
function formatOutputs(rule: Rule | undefined): string {
	const [first, ...others] = rule?.outputs ?? [];
	if (!first) return NO_FIGURE;
	return others.length === 0 ? formatOutput(first) : `${formatOutput(first)} +${others.length}`;
}
