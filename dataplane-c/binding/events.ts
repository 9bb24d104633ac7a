/** Reads what sluice_events_start writes: structures of 32 bytes on a pipe. */
import * as check from "./check.ts";
import { EVENT } from "./layout.ts";
import { closeDescriptor } from "./supervisor.ts";

/** Links or addresses changed: read them again. */
export interface LinksEvent {
	readonly kind: "links";
}
/** A worker connected and may be sent messages. Compare `abiVersion` with ABI_VERSION of layout.ts. */
export interface HelloEvent {
	readonly kind: "hello";
	readonly connection: number;
	readonly pid: number;
	/** Its slot. */
	readonly worker: number;
	readonly abiVersion: number;
	/** As many "holds" events follow. */
	readonly holds: number;
}
/** It drives that shard, which a supervisor before this one gave it. */
export interface HoldsEvent {
	readonly kind: "holds";
	readonly connection: number;
	readonly shard: number;
}
export interface AckEvent {
	readonly kind: "ack";
	readonly connection: number;
	readonly sequence: bigint;
	/** Positive; 0: done. */
	readonly errno: number;
	/** When it was read: CLOCK_MONOTONIC in µs, modulo 2³². */
	readonly atUs: number;
}
/** Who was named for the shard is being told to drive it; the ACK of that sequence follows. */
export interface SucceededEvent {
	readonly kind: "succeeded";
	readonly connection: number;
	readonly sequence: bigint;
	readonly shard: number;
	/** When the end of its driver was seen; as above. */
	readonly atUs: number;
}
/** The connection is closed; its number is never given again. */
export interface GoneEvent {
	readonly kind: "gone";
	readonly connection: number;
	readonly pid: number;
}
/** The worker's packet thread failed. */
export interface FailedEvent {
	readonly kind: "failed";
	readonly connection: number;
	readonly pid: number;
	readonly errno: number;
}
/** The worker's packet thread does not work: its process was stopped by a signal, or the thread stands still. */
export interface HangsEvent {
	readonly kind: "hangs";
	readonly connection: number;
	readonly stopped: boolean;
	/** The last one. */
	readonly heartbeat: bigint;
}
/** Nothing enters the ring of that shard any more: others are to be opened in its place, without a virtio header. */
export interface DeafEvent {
	readonly kind: "deaf";
	readonly connection: number;
	readonly shard: number;
}
export type DataplaneEvent =
	| LinksEvent
	| HelloEvent
	| HoldsEvent
	| AckEvent
	| SucceededEvent
	| GoneEvent
	| FailedEvent
	| HangsEvent
	| DeafEvent;

/** enum sluice_hang. */
const HANG_STOPPED = 1n;

/** A negative errno that C stored in a u64. */
function errnoOf(value: bigint): number {
	return Number(-BigInt.asIntN(64, value));
}

/** Version in the low half, the number of shards it holds in the high one. */
function helloParts(b: bigint) {
	return { abiVersion: Number(b & 0xffffffffn), holds: Number(b >> 32n) };
}

function decode(view: DataView): DataplaneEvent | undefined {
	const connection = view.getUint32(EVENT.connection, true);
	const pid = view.getUint32(EVENT.pid, true);
	const atUs = view.getUint32(EVENT.atUs, true);
	const a = view.getBigUint64(EVENT.a, true);
	const b = view.getBigUint64(EVENT.b, true);
	switch (view.getUint32(EVENT.kind, true)) {
		case 1:
			return { kind: "links" };
		case 2:
			return { kind: "hello", connection, pid, worker: Number(a), ...helloParts(b) };
		case 3:
			return { kind: "ack", connection, sequence: a, errno: errnoOf(b), atUs };
		case 4:
			return { kind: "gone", connection, pid };
		case 5:
			return { kind: "failed", connection, pid, errno: errnoOf(a) };
		case 6:
			return { kind: "holds", connection, shard: Number(a) };
		case 7:
			return { kind: "succeeded", connection, sequence: a, shard: Number(b), atUs };
		case 8:
			return { kind: "hangs", connection, stopped: a === HANG_STOPPED, heartbeat: b };
		case 9:
			return { kind: "deaf", connection, shard: Number(a) };
		default:
			// Of a newer library; the ABI version guards what matters.
			return undefined;
	}
}

/** Cuts a byte stream into events; pure. */
export class EventDecoder {
	#rest = new Uint8Array(0);

	*push(chunk: Uint8Array): Generator<DataplaneEvent> {
		const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
		let offset = 0;
		for (; offset + EVENT.size <= bytes.length; offset += EVENT.size) {
			const event = decode(new DataView(bytes.buffer, bytes.byteOffset + offset, EVENT.size));
			if (event) yield event;
		}
		this.#rest = bytes.slice(offset);
	}
}

/**
 * The events of startEvents (supervisor.ts), until stopEvents. Takes the descriptor:
 * it is closed when the loop over the events ends.
 */
export async function* readEvents(pipeFd: number): AsyncGenerator<DataplaneEvent> {
	const decoder = new EventDecoder();
	try {
		for await (const chunk of Bun.file(check.fd(pipeFd, "pipeFd")).stream()) yield* decoder.push(chunk);
	} finally {
		// Bun reads from a duplicate and closes only that.
		closeDescriptor(pipeFd);
	}
}
