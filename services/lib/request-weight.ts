import type { DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { SluiceError } from "./errors.ts";

/**
 * Two bytes can be a whole message, which takes hundreds when it is decoded. All rules that a
 * cluster can have weigh less than this in one request of one output each.
 */
export const WEIGHT_LIMIT = 400_000;

/** Refuses JSON of more objects, arrays and values than are taken, before it is parsed. @throws SluiceError `too_large`. */
export function checkJsonWeight(bytes: Uint8Array, limit = WEIGHT_LIMIT): void {
	if (bytes.length <= limit) return;
	const [BRACE, BRACKET, COMMA] = [0x7b, 0x5b, 0x2c];
	let weight = 0;
	// Those in strings count as well: names, addresses and host ids have none.
	for (const byte of bytes) if (byte === COMMA || byte === BRACE || byte === BRACKET) weight += 1;
	if (weight > limit) throw tooHeavy(limit);
}

/** Refuses protobuf of more fields than are taken, before it is decoded. @throws SluiceError `too_large`. */
export function checkBinaryWeight(schema: DescMessage, bytes: Uint8Array, limit = WEIGHT_LIMIT): void {
	// A field takes two bytes at least.
	if (bytes.length <= 2 * limit) return;
	let left: number;
	try {
		left = weigh(schema, new BinaryReader(bytes), bytes.length, limit);
	} catch {
		return; // Malformed: decoding stops there too, and says so.
	}
	if (left < 0) throw tooHeavy(limit);
}

/** What is left of the limit after the message; negative once there were more fields. */
function weigh(schema: DescMessage, reader: BinaryReader, end: number, limit: number): number {
	let left = limit;
	while (reader.pos < end && left >= 0) {
		const [number, wireType] = reader.tag();
		left -= 1;
		const message = schema.fields.find((field) => field.number === number)?.message;
		if (message === undefined || wireType !== WireType.LengthDelimited) {
			reader.skip(wireType, number);
			continue;
		}
		const length = reader.uint32();
		left = weigh(message, reader, Math.min(reader.pos + length, end), left);
	}
	return left;
}

function tooHeavy(limit: number): SluiceError {
	return new SluiceError("too_large", `the request has over ${limit} fields and values: send less at once`);
}
