import { toBinary } from "@bufbuild/protobuf";
import { type Output, type Rule, RuleSchema } from "@sluice/proto/gen/rule";
import { limits } from "./limits.ts";
import { outputText } from "./validate.ts";

/** The same in every field, also in those that this file does not name. */
export function sameRule(a: Rule, b: Rule): boolean {
	return Buffer.compare(toBinary(RuleSchema, a), toBinary(RuleSchema, b)) === 0;
}

/** One line per field that differs: "outputs[0].ttl: 16 -> 32". Pure. */
export function differenceLines(before: Rule, after: Rule): string[] {
	const lines = [
		...fieldLine("input.interface", before.input?.interface, after.input?.interface),
		...fieldLine("input.group", before.input?.group, after.input?.group),
		...fieldLine("input.port", before.input?.port, after.input?.port),
		...fieldLine("input.vlan", before.input?.vlan, after.input?.vlan, "untagged"),
		...listLines("input.sources", before.input?.sources ?? [], after.input?.sources ?? []),
		...outputLines(before.outputs, after.outputs),
		...listLines("hosts", before.hosts, after.hosts),
		...listLines("hostLabels", labelTexts(before), labelTexts(after)),
	];
	// Two rules differ here, so if no field does, it is the order of a list.
	if (lines.length === 0) return ["order changed"];
	if (lines.length <= limits.changeLinesPerRule) return lines;
	const shown = lines.slice(0, limits.changeLinesPerRule - 1);
	return [...shown, `… and ${lines.length - shown.length} more`];
}

type Value = string | number | undefined;

function fieldLine(path: string, before: Value, after: Value, absent: string = "none"): string[] {
	return before === after ? [] : [`${path}: ${before ?? absent} -> ${after ?? absent}`];
}

function listLines(path: string, before: readonly string[], after: readonly string[]): string[] {
	return [
		...before.filter((value) => !after.includes(value)).map((value) => `${path}: - ${value}`),
		...after.filter((value) => !before.includes(value)).map((value) => `${path}: + ${value}`),
	];
}

function labelTexts({ hostLabels }: Rule): string[] {
	return Object.entries(hostLabels).map(([key, value]) => `${key}=${value}`);
}

/** Outputs are matched by where they lead, so that one inserted in front does not change them all. */
function outputLines(before: readonly Output[], after: readonly Output[]): string[] {
	const known = new Map(before.map((output) => [outputText(output), output]));
	const kept = new Set(after.map(outputText));
	const removed = before.map(outputText).filter((text) => !kept.has(text));
	return [
		...removed.map((text) => `outputs: - ${text}`),
		...after.flatMap((output, k) => {
			const previous = known.get(outputText(output));
			if (previous === undefined) return [`outputs: + ${outputText(output)}${outputOptions(output)}`];
			return [
				...fieldLine(`outputs[${k}].ttl`, previous.ttl, output.ttl, "default"),
				...fieldLine(`outputs[${k}].dscp`, previous.dscp, output.dscp, "default"),
				...fieldLine(`outputs[${k}].sourcePort`, previous.sourcePort, output.sourcePort, "default"),
			];
		}),
	];
}

function outputOptions(output: Output): string {
	const ttl = output.ttl === undefined ? "" : `,ttl=${output.ttl}`;
	const dscp = output.dscp === undefined ? "" : `,dscp=${output.dscp}`;
	const sourcePort = output.sourcePort === undefined ? "" : `,source-port=${output.sourcePort}`;
	return `${ttl}${dscp}${sourcePort}`;
}
