import { expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { WorkerCountersSchema } from "@sluice/proto/gen/stats";
import { CountersDecoder } from "./counters-decoder.ts";
import { decodeCounters } from "./decode.ts";
import { R1, type Reading, T0, uid, workerCounters } from "./testing/counters.ts";

const SUBJECT = "sluice.v1.counters.relay-a.0";

/** As a worker writes it: the rows are at the end. */
function sent(reading: Reading): Uint8Array {
	const message = Object.entries(workerCounters(reading)).filter(([name]) => !name.startsWith("$"));
	const part = (rows: boolean) => {
		const fields = message.filter(([name]) => /^(rule|output)[A-Z]/.test(name) === rows);
		return toBinary(WorkerCountersSchema, create(WorkerCountersSchema, Object.fromEntries(fields)));
	};
	return Buffer.concat([part(false), part(true)]);
}

function reading(sequence: bigint, received: bigint): Reading {
	return {
		sequence,
		atMs: T0 + 1_000 * Number(sequence),
		rules: [{ uid: uid(1), received, outputs: [{ output: R1, sent: received }] }],
		interfaces: [{ name: "r0", captured: 10n * sequence, unmatched: sequence }],
	};
}

function chunk(decoder: CountersDecoder, bytes: Uint8Array, subject = SUBJECT) {
	const decoded = decoder.decode(subject, bytes);
	// Whatever is kept, it says what the message says.
	expect(decoded).toEqual(decodeCounters(subject, bytes));
	return "chunk" in decoded ? decoded.chunk : undefined;
}

test("rows that did not change are not decoded again, and all else is", () => {
	const decoder = new CountersDecoder();
	const first = chunk(decoder, sent(reading(1n, 5n)));
	const second = chunk(decoder, sent(reading(2n, 5n)));
	expect(second?.rules).toBe(first?.rules as never);
	expect(second?.interfaces.get("r0")?.capturedFrames).toBe(20n);
	const third = chunk(decoder, sent(reading(3n, 6n)));
	expect(third?.rules.get(uid(1))?.receivedPackets).toBe(6n);
	expect(chunk(decoder, sent(reading(4n, 6n)))?.rules).toBe(third?.rules as never);
});

test("rows amid other fields are decoded each time", () => {
	const decoder = new CountersDecoder();
	const amid = () => toBinary(WorkerCountersSchema, workerCounters(reading(1n, 5n)));
	expect(chunk(decoder, amid())?.rules).not.toBe(chunk(decoder, amid())?.rules as never);
});

test("what is kept of one worker says nothing of another, nor makes a wrong message right", () => {
	const decoder = new CountersDecoder();
	const bytes = sent(reading(1n, 5n));
	chunk(decoder, bytes);
	expect(decoder.decode("sluice.v1.counters.relay-a.1", bytes)).toHaveProperty("refused");
	expect(decoder.decode(SUBJECT, bytes.subarray(0, bytes.length - 1))).toHaveProperty("refused");
	const other = { ...reading(1n, 5n), host: "relay-b" };
	expect(decoder.decode(SUBJECT, sent(other))).toHaveProperty("refused");
	expect(chunk(decoder, sent({ ...reading(2n, 5n), rules: [] }))?.rules.size).toBe(0);
});
