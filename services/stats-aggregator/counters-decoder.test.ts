import { expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { WorkerCountersSchema } from "@sluice/proto/gen/stats";
import type { Countable } from "./catalogue.ts";
import { CountersDecoder } from "./counters-decoder.ts";
import { decodeCounters } from "./decode.ts";
import { R1, R2, type Reading, T0, uid, workerCounters } from "./testing/counters.ts";

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
	const decoder = new CountersDecoder(() => undefined);
	const first = chunk(decoder, sent(reading(1n, 5n)));
	const second = chunk(decoder, sent(reading(2n, 5n)));
	expect(second?.rules).toBe(first?.rules as never);
	expect(second?.interfaces.get("r0")?.capturedFrames).toBe(20n);
	const third = chunk(decoder, sent(reading(3n, 6n)));
	expect(third?.rules.get(uid(1))?.receivedPackets).toBe(6n);
	expect(chunk(decoder, sent(reading(4n, 6n)))?.rules).toBe(third?.rules as never);
});

test("of a host that is forgotten nothing is kept, and of others it is", () => {
	const decoder = new CountersDecoder(() => undefined);
	const of = (host: string) =>
		chunk(decoder, sent({ ...reading(1n, 5n), host }), `sluice.v1.counters.${host}.0`);
	const [first, other] = [of("relay-a"), of("relay-a2")];
	decoder.forget("relay-a");
	expect(of("relay-a")?.rules).not.toBe(first?.rules as never);
	expect(of("relay-a2")?.rules).toBe(other?.rules as never);
});

test("rows amid other fields are decoded each time", () => {
	const decoder = new CountersDecoder(() => undefined);
	const amid = () => toBinary(WorkerCountersSchema, workerCounters(reading(1n, 5n)));
	expect(chunk(decoder, amid())?.rules).not.toBe(chunk(decoder, amid())?.rules as never);
});

test("what is kept of one worker says nothing of another, nor makes a wrong message right", () => {
	const decoder = new CountersDecoder(() => undefined);
	const bytes = sent(reading(1n, 5n));
	chunk(decoder, bytes);
	expect(decoder.decode("sluice.v1.counters.relay-a.1", bytes)).toHaveProperty("refused");
	expect(decoder.decode(SUBJECT, bytes.subarray(0, bytes.length - 1))).toHaveProperty("refused");
	const other = { ...reading(1n, 5n), host: "relay-b" };
	expect(decoder.decode(SUBJECT, sent(other))).toHaveProperty("refused");
	expect(chunk(decoder, sent({ ...reading(2n, 5n), rules: [] }))?.rules.size).toBe(0);
});

test("rows of rules and outputs that there are not are left out, until there are", () => {
	let countable: Countable = new Map([[uid(1), new Set([R1.key])]]);
	const decoder = new CountersDecoder(() => countable);
	const outputs = [R1, R2].map((output) => ({ output, sent: 5n }));
	const rules = [uid(1), uid(2)].map((uid) => ({ uid, received: 5n, outputs }));
	const heard = (sequence: bigint) => {
		const decoded = decoder.decode(SUBJECT, sent({ ...reading(sequence, 5n), rules }));
		if ("refused" in decoded) throw new Error(decoded.refused);
		return [...decoded.chunk.rules].map(([uid, { outputs }]) => [uid, ...outputs.keys()]);
	};
	expect(heard(1n)).toEqual([[uid(1), R1.key]]);
	countable = new Map([[uid(2), new Set([R2.key])]]);
	expect(heard(2n)).toEqual([[uid(2), R2.key]]);
	// Nobody knows which there are.
	countable = undefined;
	expect(heard(3n)).toEqual([uid(1), uid(2)].map((uid) => [uid, R1.key, R2.key]));
});
