/**
 * Messages of the supervisor to a worker (include/sluice.h, "the channel"). Each is
 * answered by one ACK with the same sequence. In brackets: the descriptors that
 * travel with it, in order.
 */
import * as check from "./check.ts";
import { ATTACH_SHARD, DETACH_SHARD, EGRESS_SLOT, LIMITS, MESSAGE } from "./layout.ts";
import { encodeRing, type Ring } from "./supervisor.ts";

const KIND = {
	counters: 1,
	attachShard: 2,
	detachShard: 3,
	addEgress: 4,
	removeEgress: 5,
	installTable: 6,
	note: 7,
	stop: 8,
} as const;

function begin(kind: number, size: number, sequence: bigint): { bytes: Uint8Array; view: DataView } {
	const bytes = new Uint8Array(size);
	const view = new DataView(bytes.buffer);
	view.setUint32(MESSAGE.kind, kind, true);
	view.setUint32(MESSAGE.bytes, size, true);
	view.setBigUint64(MESSAGE.sequence, check.u64(sequence, "sequence"), true);
	return { bytes, view };
}

/** [counter memory] The first message. */
export function countersMessage(sequence: bigint): Uint8Array {
	return begin(KIND.counters, MESSAGE.size, sequence).bytes;
}

/** [capture socket, shard state] */
export function attachShardMessage(sequence: bigint, shard: number, ifindex: number, ring: Ring): Uint8Array {
	const { bytes, view } = begin(KIND.attachShard, ATTACH_SHARD.size, sequence);
	view.setUint32(ATTACH_SHARD.shard, check.u32(shard, "shard"), true);
	view.setUint32(ATTACH_SHARD.ifindex, check.ifindex(ifindex), true);
	encodeRing(ring, bytes, ATTACH_SHARD.ring);
	return bytes;
}

export function detachShardMessage(sequence: bigint, shard: number): Uint8Array {
	const { bytes, view } = begin(KIND.detachShard, DETACH_SHARD.size, sequence);
	view.setUint32(DETACH_SHARD.shard, check.u32(shard, "shard"), true);
	return bytes;
}

export interface EgressOptions {
	/** Never use UDP_SEGMENT here. */
	readonly noSegmentation?: boolean;
}

const NO_SEGMENTATION = 1;

function egressMessage(kind: number, sequence: bigint, slot: number) {
	const message = begin(kind, EGRESS_SLOT.size, sequence);
	message.view.setUint32(EGRESS_SLOT.slot, check.within(slot, "slot", 0, LIMITS.egress - 1), true);
	return message;
}

/** [egress socket] */
export function addEgressMessage(
	sequence: bigint,
	slot: number,
	ifindex: number,
	options: EgressOptions = {},
): Uint8Array {
	const { bytes, view } = egressMessage(KIND.addEgress, sequence, slot);
	view.setUint32(EGRESS_SLOT.ifindex, check.ifindex(ifindex), true);
	view.setUint32(EGRESS_SLOT.options, options.noSegmentation ? NO_SEGMENTATION : 0, true);
	return bytes;
}

/** Only once no table in force names the slot. */
export function removeEgressMessage(sequence: bigint, slot: number): Uint8Array {
	return egressMessage(KIND.removeEgress, sequence, slot).bytes;
}

/** [table] */
export function installTableMessage(sequence: bigint): Uint8Array {
	return begin(KIND.installTable, MESSAGE.size, sequence).bytes;
}

/** The longest note. */
export const NOTE_BYTES = LIMITS.messageBytes - MESSAGE.size;

/** Bytes for the worker's own process, which `Worker.takeNote` yields. */
export function noteMessage(sequence: bigint, note: Uint8Array): Uint8Array {
	check.within(note.length, "length of the note", 0, NOTE_BYTES);
	const { bytes } = begin(KIND.note, MESSAGE.size + note.length, sequence);
	bytes.set(note, MESSAGE.size);
	return bytes;
}

export function stopMessage(sequence: bigint): Uint8Array {
	return begin(KIND.stop, MESSAGE.size, sequence).bytes;
}
