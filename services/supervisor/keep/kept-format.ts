import { createHash } from "node:crypto";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";

/*
 *  0        4         8                       40
 *  ├ magic ─┼ version ┼ SHA-256 of the rest ──┼ KeptDesired, or another (protobuf) …
 *
 * The version is big-endian. It grows when an older reader would misread the rest.
 */
const MAGIC = new TextEncoder().encode("SLKD");
const VERSION = 1;
const VERSION_AT = 4;
const CHECKSUM_AT = 8;
const BODY_AT = 40;

/** A cluster's rules are a few MiB; nothing of ours is longer. */
export const KEPT_LIMIT_BYTES = 256 * 2 ** 20;

export function encodeKept<Schema extends DescMessage>(
	schema: Schema,
	kept: MessageShape<Schema>,
): Uint8Array {
	const body = toBinary(schema, kept);
	const bytes = new Uint8Array(BODY_AT + body.length);
	bytes.set(MAGIC);
	new DataView(bytes.buffer).setUint32(VERSION_AT, VERSION);
	bytes.set(checksum(body), CHECKSUM_AT);
	bytes.set(body, BODY_AT);
	return bytes;
}

/** @throws Error saying what is wrong with the file. */
export function decodeKept<Schema extends DescMessage>(
	schema: Schema,
	bytes: Uint8Array,
): MessageShape<Schema> {
	if (bytes.length < BODY_AT) throw new Error(`it has only ${bytes.length} bytes`);
	if (Buffer.compare(bytes.subarray(0, VERSION_AT), MAGIC) !== 0) throw new Error("it is something else");
	const version = new DataView(bytes.buffer, bytes.byteOffset).getUint32(VERSION_AT);
	if (version !== VERSION) throw new Error(`it has version ${version}, and ${VERSION} is known here`);
	const body = bytes.subarray(BODY_AT);
	if (Buffer.compare(checksum(body), bytes.subarray(CHECKSUM_AT, BODY_AT)) !== 0) {
		throw new Error("its checksum is wrong");
	}
	return fromBinary(schema, body);
}

function checksum(body: Uint8Array): Uint8Array {
	return createHash("sha256").update(body).digest();
}
