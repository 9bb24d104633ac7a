import { expect, test } from "bun:test";
import * as messages from "./messages.ts";

function words(bytes: Uint8Array): number[] {
	return [...new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)];
}

test("a message begins with its kind, its length and its sequence", () => {
	expect(words(messages.countersMessage(1n))).toEqual([1, 16, 1, 0]);
	expect(words(messages.installTableMessage(2n ** 32n + 5n))).toEqual([6, 16, 5, 1]);
	expect(words(messages.stopMessage(3n))).toEqual([8, 16, 3, 0]);
});

test("a shard is attached with its ring", () => {
	const ring = { blockBytes: 65_536, blockCount: 2, frameBytes: 2048, frameCount: 64, vnetHeader: true };
	expect(words(messages.attachShardMessage(9n, 11, 4, ring))).toEqual([
		...[2, 48, 9, 0],
		...[11, 4],
		...[65_536, 2, 2048, 64, 1, 0],
	]);
	expect(words(messages.detachShardMessage(10n, 11))).toEqual([3, 24, 10, 0, 11, 0]);
});

test("an egress slot names its interface and options", () => {
	expect(words(messages.addEgressMessage(1n, 5, 4))).toEqual([4, 32, 1, 0, 5, 4, 0, 0]);
	expect(words(messages.addEgressMessage(1n, 5, 4, { noSegmentation: true }))).toEqual([
		4, 32, 1, 0, 5, 4, 1, 0,
	]);
	expect(words(messages.removeEgressMessage(2n, 5))).toEqual([5, 32, 2, 0, 5, 0, 0, 0]);
});

test("a note carries its bytes and has a limit", () => {
	const note = messages.noteMessage(4n, Buffer.from("levels"));
	expect(note.length).toBe(22);
	expect(Buffer.from(note.subarray(16)).toString()).toBe("levels");
	expect(messages.noteMessage(4n, new Uint8Array(messages.NOTE_BYTES)).length).toBe(8192);
	expect(() => messages.noteMessage(4n, new Uint8Array(messages.NOTE_BYTES + 1))).toThrow(RangeError);
});

test("what is no sequence or slot is refused", () => {
	for (const sequence of [-1n, 2n ** 64n, 1, undefined] as bigint[]) {
		expect(() => messages.stopMessage(sequence)).toThrow(RangeError);
	}
	expect(() => messages.addEgressMessage(1n, 16_384, 4)).toThrow(RangeError);
	expect(() => messages.addEgressMessage(1n, 0, 0)).toThrow(RangeError);
});
