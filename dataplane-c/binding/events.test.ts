import { expect, test } from "bun:test";
import { type DataplaneEvent, EventDecoder } from "./events.ts";
import { ABI_VERSION, EVENT } from "./layout.ts";

function encode(kind: number, connection: number, pid: number, a: bigint, b: bigint, atUs = 0): Uint8Array {
	const bytes = new Uint8Array(EVENT.size);
	const view = new DataView(bytes.buffer);
	view.setUint32(EVENT.kind, kind, true);
	view.setUint32(EVENT.connection, connection, true);
	view.setUint32(EVENT.pid, pid, true);
	view.setUint32(EVENT.atUs, atUs, true);
	view.setBigUint64(EVENT.a, a, true);
	view.setBigUint64(EVENT.b, b, true);
	return bytes;
}

const minus = (errno: bigint) => BigInt.asUintN(64, -errno);

const STREAM = Buffer.concat([
	encode(1, 0, 0, 0n, 0n),
	encode(2, 7, 123, 3n, BigInt(ABI_VERSION) | (2n << 32n)),
	encode(6, 7, 123, 12n, 0n),
	encode(3, 7, 123, 99n, 0n),
	encode(7, 7, 123, 98n, 12n, 2 ** 32 - 1),
	encode(3, 7, 123, 2n ** 63n, minus(22n), 17),
	encode(8, 7, 123, 1n, 2n ** 63n),
	encode(8, 7, 123, 2n, 0n),
	encode(9, 7, 123, 12n, 0n),
	encode(5, 7, 123, minus(19n), 0n),
	encode(4, 7, 123, 0n, 0n),
]);

const EVENTS: DataplaneEvent[] = [
	{ kind: "links" },
	{ kind: "hello", connection: 7, pid: 123, worker: 3, abiVersion: ABI_VERSION, holds: 2 },
	{ kind: "holds", connection: 7, shard: 12 },
	{ kind: "ack", connection: 7, sequence: 99n, errno: 0, atUs: 0 },
	{ kind: "succeeded", connection: 7, sequence: 98n, shard: 12, atUs: 2 ** 32 - 1 },
	{ kind: "ack", connection: 7, sequence: 2n ** 63n, errno: 22, atUs: 17 },
	{ kind: "hangs", connection: 7, stopped: true, heartbeat: 2n ** 63n },
	{ kind: "hangs", connection: 7, stopped: false, heartbeat: 0n },
	{ kind: "deaf", connection: 7, shard: 12 },
	{ kind: "failed", connection: 7, pid: 123, errno: 19 },
	{ kind: "gone", connection: 7, pid: 123 },
];

test("a stream of structures becomes events", () => {
	expect([...new EventDecoder().push(STREAM)]).toEqual(EVENTS);
});

test("however it is cut", () => {
	for (let size = 1; size < STREAM.length; size++) {
		const decoder = new EventDecoder();
		const events: DataplaneEvent[] = [];
		for (let at = 0; at < STREAM.length; at += size)
			events.push(...decoder.push(STREAM.subarray(at, at + size)));
		expect(events).toEqual(EVENTS);
	}
});

test("a kind of a newer library is passed over", () => {
	const stream = Buffer.concat([encode(77, 0, 0, 0n, 0n), encode(1, 0, 0, 0n, 0n)]);
	expect([...new EventDecoder().push(stream)]).toEqual([{ kind: "links" }]);
});
