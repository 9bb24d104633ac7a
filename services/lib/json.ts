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
		throw new SluiceError("invalid", readableReason(errorText(thrown)), { cause: thrown });
	}
}

/** The library names message types in full; whoever typed the JSON knows fields only. */
function readableReason(reason: string): string {
	const plain = reason
		.replace(/^cannot decode (?:message|field) sluice\.v1\.(\S+?) from JSON: /, "$1: ")
		.replace(/sluice\.v1\./g, "");
	return plain.length <= 300 ? plain : `${plain.slice(0, 300)}…`;
}
