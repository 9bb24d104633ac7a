import {
	type AnyDesc,
	type DescEnum,
	type DescField,
	type DescFile,
	type DescMessage,
	ScalarType,
} from "@bufbuild/protobuf";
import { getComments } from "@bufbuild/protoplugin";

type Type = DescMessage | DescEnum;

type Commented = Exclude<AnyDesc, DescFile>;

/** What stands above it in the proto file, as one paragraph or several. @throws Error when nothing does. */
export function comment(desc: Commented): string {
	const { leading } = getComments(desc);
	if (leading === undefined) throw new Error(`${desc.toString()}: say in a comment what it is`);
	const paragraphs = leading.trim().split(/\n\s*\n/);
	return paragraphs.map((lines) => lines.replace(/\s*\n\s*/g, " ").trim()).join("\n\n");
}

/** With subjects as code. */
export function marked(text: string): string {
	return text.replace(/(?<![`\w.])sluice\.v1(?:\.[\w-]+)+(?:\.>)?/g, "`$&`");
}

/** All that these messages are made of, each once, before what it is made of. */
export function closure(messages: readonly DescMessage[]): Type[] {
	const found = new Set<Type>();
	const visit = (type: Type) => {
		if (found.has(type)) return;
		// Some only hold an enum.
		if (type.kind === "enum" || type.fields.length > 0 || type.nestedEnums.length === 0) found.add(type);
		if (type.kind === "enum") return;
		for (const field of type.fields) {
			const part = field.message ?? field.enum ?? undefined;
			if (part !== undefined) visit(part);
		}
		for (const nested of type.nestedEnums) visit(nested);
	};
	for (const message of messages) visit(message);
	return [...found];
}

/** What a document says of a message, its fields and their values. */
export interface Words {
	of(desc: Commented): string;
}

/** For everybody: all of it is to be explained. */
export const complete: Words = { of: (desc) => marked(comment(desc)) };

/** For whoever reads the code as well. */
export const partial: Words = {
	of: (desc) => (getComments(desc).leading === undefined ? "" : complete.of(desc)),
};

export function messageSection(message: DescMessage, words: Words): string {
	const text = `### ${nameOf(message)}\n\n${words.of(message)}`.trimEnd();
	if (message.fields.length === 0) return `${text}\n\nNo fields.`;
	const rows = message.fields.map((field) => {
		return `| \`${field.jsonName}\` | ${typeOf(field)} | ${cell(words.of(field))} |`;
	});
	return [`${text}\n`, "| field | type | |", "|---|---|---|", ...rows].join("\n");
}

export function enumSection(type: DescEnum, words: Words): string {
	const rows = type.values.map(
		(value) => `| \`${value.name}\` | ${value.number} | ${cell(words.of(value))} |`,
	);
	return [
		`### ${nameOf(type)}\n\n${words.of(type)}\n`,
		"| value | number | |",
		"|---|---|---|",
		...rows,
	].join("\n");
}

export function link(type: Type): string {
	const name = nameOf(type);
	return `[${name}](#${name.toLowerCase().replaceAll(".", "")})`;
}

function cell(text: string): string {
	return text.replaceAll("\n\n", " ").replaceAll("|", "\\|");
}

/** Without the package. */
function nameOf({ typeName }: Type): string {
	return typeName.replace(/^sluice\.v1\./, "");
}

function typeOf(field: DescField): string {
	switch (field.fieldKind) {
		case "list":
			return `list of ${elementOf(field)}`;
		case "map":
			return `map from ${scalar(field.mapKey)} to ${elementOf(field)}`;
		default:
			return `${field.proto.proto3Optional ? "optional " : ""}${elementOf(field)}`;
	}
}

function elementOf({ message, enum: type, scalar: number }: DescField): string {
	if (message !== undefined) return link(message);
	return type === undefined ? scalar(number) : link(type);
}

function scalar(type: ScalarType | undefined): string {
	return type === undefined ? "" : ScalarType[type].toLowerCase();
}
