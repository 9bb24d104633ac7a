import {
	create,
	type DescField,
	type DescMessage,
	type MessageInitShape,
	ScalarType,
} from "@bufbuild/protobuf";
import { findDuplicateKey } from "@sluice/lib/duplicate-key";
import { type Rule, RuleSchema } from "@sluice/proto/gen/rule";
import JSON5 from "json5";
import { CommandFailure, exitCodes } from "../failure.ts";
import { codePointOf } from "./dscp.ts";

/**
 * Reads the rules of a JSON5 file. Every complaint names the file and the place:
 * line and column where the text is not JSON5, the path of the field otherwise.
 *
 * @throws CommandFailure with exit code 1.
 */
export function parseRulesFile(fileName: string, text: string): Rule[] {
	const refuse = (complaint: string) => new CommandFailure(exitCodes.failed, `${fileName}: ${complaint}`);
	if (text.trim() === "") throw refuse("the file is empty: expected { rules: [ … ] }");
	let parsed: unknown;
	try {
		parsed = parseJson(text) ?? JSON5.parse(text);
	} catch (error) {
		if (!(error instanceof SyntaxError)) throw error;
		const [, complaint = error.message, at] = /^JSON5: (.*) at (\d+:\d+)$/.exec(error.message) ?? [];
		throw refuse(`${at === undefined ? "" : `line ${at}: `}${complaint}: ${remedyOf(complaint)}`);
	}
	const twice = findDuplicateKey(text, parsed);
	if (twice !== undefined) throw refuse(`${twice} stands twice in one object: remove one`);
	if (!isObject(parsed) || !Array.isArray(parsed["rules"])) throw refuse("expected { rules: [ … ] }");
	for (const key of Object.keys(parsed)) {
		if (key !== "rules") throw refuse(`${key} is unknown: the file holds { rules: [ … ] } and nothing else`);
	}
	const rules: unknown[] = parsed["rules"];
	return rules.map((rule, index) => {
		const complaint = checkMessage(RuleSchema, rule, `rules[${index}]`);
		if (complaint !== undefined) throw refuse(complaint + nameOf(rule));
		// Checked field by field above, so it has that shape: names of fields are the same in JSON.
		return create(RuleSchema, rule as MessageInitShape<typeof RuleSchema>);
	});
}

function remedyOf(complaint: string): string {
	if (complaint === "invalid end of input") return "close what is still open, with ], } or a quote";
	return "see whether a comma or bracket before it is wrong, and put texts such as addresses in quotes";
}

/** All JSON is JSON5, and read twenty times as fast by the engine itself. Undefined: it is not JSON. */
function parseJson(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

function nameOf(rule: unknown): string {
	return isObject(rule) && typeof rule["name"] === "string" ? ` (rule ${rule["name"]})` : "";
}

/** What is wrong with `value` as a message of this kind, with its path; undefined: nothing. */
function checkMessage(schema: DescMessage, value: unknown, path: string): string | undefined {
	if (!isObject(value)) return `${path}: expected { … }`;
	for (const [key, member] of Object.entries(value)) {
		const field = schema.fields.find((candidate) => candidate.jsonName === key);
		if (!field) {
			const known = schema.fields.map((candidate) => candidate.jsonName).join(", ");
			return `${path}.${key} is unknown: known are ${known}`;
		}
		const complaint = checkField(field, member, `${path}.${key}`);
		if (complaint !== undefined) return complaint;
	}
	return undefined;
}

function checkField(field: DescField, value: unknown, path: string): string | undefined {
	if (field.fieldKind === "list") {
		if (!Array.isArray(value)) return `${path}: expected [ … ]`;
		const items: unknown[] = value;
		for (const [index, item] of items.entries()) {
			const complaint = checkItem(field, item, `${path}[${index}]`);
			if (complaint !== undefined) return complaint;
		}
		return undefined;
	}
	if (field.fieldKind === "map") return checkTexts(value, path);
	return checkItem(field, value, path);
}

/** The maps of a rule hold texts. */
function checkTexts(value: unknown, path: string): string | undefined {
	if (!isObject(value)) return `${path}: expected { key: "value", … }`;
	const wrong = Object.keys(value).find((key) => typeof value[key] !== "string");
	return wrong === undefined ? undefined : `${path}.${wrong}: expected a text in quotes`;
}

function checkItem(field: DescField, value: unknown, path: string): string | undefined {
	if (field.message) return checkMessage(field.message, value, path);
	if (field.scalar === ScalarType.STRING) {
		return typeof value === "string" ? undefined : `${path}: expected a text in quotes`;
	}
	if (field.scalar === ScalarType.UINT32) {
		const fits = typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
		const named = field.name === "dscp" && typeof value === "string" ? codePointOf(value) : undefined;
		const remedy = named === undefined ? "" : `: ${value} is ${named}`;
		return fits ? undefined : `${path}: expected a whole number${remedy}`;
	}
	throw new Error(`no check for field ${field.name} of ${field.parent.typeName}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
