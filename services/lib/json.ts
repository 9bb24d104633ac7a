import { type DescMessage, fromJsonString, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import { errorText, SluiceError } from "./errors.ts";

/** The proto3 JSON mapping with zero values written out, so that a reader sees every field. */
export function toJsonText<Schema extends DescMessage>(
	schema: Schema,
	message: MessageShape<Schema>,
): string {
	return toJsonString(schema, message, { alwaysEmitImplicit: true });
}

/** Reads proto3 JSON; unknown fields, duplicate keys and wrong types are refused as `invalid`. */
export function fromJsonText<Schema extends DescMessage>(schema: Schema, text: string): MessageShape<Schema> {
	try {
		return fromJsonString(schema, text, { ignoreUnknownFields: false });
	} catch (thrown) {
		throw new SluiceError("invalid", readableReason(schema, errorText(thrown)), { cause: thrown });
	}
}

/** The library names message types in full; whoever typed the JSON knows fields only. */
function readableReason(schema: DescMessage, reason: string): string {
	const [, typeName] = /^cannot decode message (\S+) from JSON: key ".*" is unknown$/s.exec(reason) ?? [];
	const plain = reason
		.replace(/^cannot decode (?:message|field) sluice\.v1\.(\S+?) from JSON: /, "$1: ")
		.replace(/sluice\.v1\./g, "");
	const short = plain.length <= 300 ? plain : `${plain.slice(0, 300)}…`;
	const message = typeName === undefined ? undefined : messagesOf(schema).get(typeName);
	if (message === undefined) return short;
	const known = message.fields.map((field) => field.jsonName);
	return `${short}: ${known.length === 0 ? "it has no fields" : `known are ${known.join(", ")}`}`;
}

/** The message itself and those that its fields hold, by their names. */
function messagesOf(schema: DescMessage, found = new Map<string, DescMessage>()): Map<string, DescMessage> {
	if (found.has(schema.typeName)) return found;
	found.set(schema.typeName, schema);
	for (const { message } of schema.fields) if (message) messagesOf(message, found);
	return found;
}
