import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Rule, RuleSchema } from "@sluice/proto/gen/rule";

/**
 * The file that `apply` reads: JSON, one output a line, only the fields that were
 * set, so that reading it back gives the same rules and a diff of two files is short.
 */
export function formatRulesFile(rules: Rule[]): string {
	if (rules.length === 0) return '{ "rules": [] }\n';
	return `{\n  "rules": [\n${rules.map(formatRule).join(",\n")}\n  ]\n}\n`;
}

function formatRule(rule: Rule): string {
	const value = toJson(RuleSchema, rule);
	const fields = Object.entries(isObject(value) ? value : {}).map(([key, member]) => {
		if (key !== "outputs" || !Array.isArray(member)) return `      "${key}": ${formatInline(member)}`;
		const outputs = member.map((output) => `        ${formatInline(output)}`);
		return `      "outputs": [\n${outputs.join(",\n")}\n      ]`;
	});
	return `    {\n${fields.join(",\n")}\n    }`;
}

function formatInline(value: JsonValue): string {
	if (Array.isArray(value)) return `[${value.map(formatInline).join(", ")}]`;
	if (!isObject(value)) return JSON.stringify(value);
	const members = Object.entries(value).map(([key, member]) => `"${key}": ${formatInline(member)}`);
	return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}

function isObject(value: JsonValue): value is { [key: string]: JsonValue } {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
