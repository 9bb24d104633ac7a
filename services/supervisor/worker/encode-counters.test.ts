import { expect, test } from "bun:test";
import { fromBinary } from "@bufbuild/protobuf";
import {
	DROP_REASONS,
	FAILURE_REASONS,
	INTERFACE_COUNTERS,
	OUTPUT_COUNTERS,
	RULE_COUNTERS,
	WORKER_COUNTERS,
} from "@sluice/dataplane/counters";
import type { Snapshot } from "@sluice/dataplane/worker";
import { type WorkerCounters, WorkerCountersSchema } from "@sluice/proto/gen/stats";
import { EncodedRows, encodeCounters } from "./encode-counters.ts";

const REASONS = DROP_REASONS.length;

/** Every counter says where it stands: row × 1000 + column. */
function numbered(rows: number, columns: number): BigUint64Array {
	return BigUint64Array.from({ length: rows * columns }, (_, index) =>
		BigInt(Math.floor(index / columns) * 1000 + (index % columns)),
	);
}

function snapshot(outputsOfRule: readonly number[], interfaces: readonly string[] = []): Snapshot {
	const outputRules = outputsOfRule.flatMap((count, row) => Array.from({ length: count }, () => BigInt(row)));
	const interfaceNames = new Uint8Array(16 * interfaces.length);
	for (const [row, name] of interfaces.entries())
		interfaceNames.set(new TextEncoder().encode(name), row * 16);
	return {
		tableGeneration: 7n,
		ruleCount: outputsOfRule.length,
		outputCount: outputRules.length,
		interfaceCount: interfaces.length,
		ruleUids: Uint8Array.from(
			{ length: 16 * outputsOfRule.length },
			(_, index) => Math.floor(index / 16) % 256,
		),
		ruleCounters: numbered(outputsOfRule.length, RULE_COUNTERS),
		outputRules: BigUint64Array.from(outputRules),
		outputKeys: BigUint64Array.from(outputRules.map((_, row) => BigInt(row) << 40n)),
		outputCounters: numbered(outputRules.length, OUTPUT_COUNTERS),
		interfaceNames,
		interfaceCounters: numbered(interfaces.length, INTERFACE_COUNTERS),
		workerCounters: numbered(1, WORKER_COUNTERS),
	};
}

const origin = { host: "relay-a", worker: 1, incarnation: 5n, sequence: 9n, atMs: 1234 };

function chunks(values: Snapshot): WorkerCounters[] {
	return encodeCounters(values, origin).map((bytes) => fromBinary(WorkerCountersSchema, bytes));
}

test("a snapshot becomes columns, row by row", () => {
	const [message] = chunks(snapshot([2, 1], ["r0", "a-name-of-15-ch"]));
	expect(message).toMatchObject({
		host: "relay-a",
		worker: 1,
		incarnation: 5n,
		sequence: 9n,
		atUnixMs: 1234n,
		chunk: 0,
		chunks: 1,
		ruleReceivedPackets: [0n, 1000n],
		ruleReceivedBytes: [1n, 1001n],
		ruleForwardedPackets: [2n, 1002n],
		ruleLastReceivedUnixMs: [3n, 1003n],
		outputRule: [0, 0, 1],
		outputKeys: [0n, 1n << 40n, 2n << 40n],
		outputEligiblePackets: [0n, 1000n, 2000n],
		outputSentPackets: [1n, 1001n, 2001n],
		outputSentBytes: [2n, 1002n, 2002n],
		outputFailedPackets: [3n, 1003n, 2003n],
		outputLimitedPackets: [4n, 1004n, 2004n],
		interfaceNames: ["r0", "a-name-of-15-ch"],
		interfaceCapturedFrames: [0n, 1000n],
		interfaceKernelDroppedFrames: [1n, 1001n],
		interfaceUnmatchedPackets: [2n, 1002n],
		gauges: { batches: 0n, wakeups: 1n, segmentationFallbacks: 2n, tableGeneration: 7n },
	});
	expect(message?.outputFailedByReason).toEqual(
		[0n, 1000n, 2000n].flatMap((row) => FAILURE_REASONS.map((_, reason) => row + 8n + BigInt(reason))),
	);
	expect(message?.outputUnreachableAnswers).toEqual([5n, 1005n, 2005n]);
	expect(message?.ruleUids).toHaveLength(32);
	expect(message?.ruleDroppedPackets).toEqual([
		...Array.from({ length: REASONS }, (_, reason) => BigInt(4 + reason)),
		...Array.from({ length: REASONS }, (_, reason) => BigInt(1004 + reason)),
	]);
	expect(message?.interfaceDroppedPackets).toHaveLength(2 * REASONS);
	expect(message?.interfaceDroppedPackets[REASONS]).toBe(1003n);
	expect(message?.gauges?.batchFrames[0]).toBe(8n);
	expect(message?.gauges?.segmentsPerSend[0]).toBe(24n);
});

test("reasons and answers are left out where there are none", () => {
	const values = snapshot([2]);
	values.outputCounters.fill(0n);
	const [message] = chunks(values);
	expect(message?.outputFailedPackets).toEqual([0n, 0n]);
	expect(message?.outputFailedByReason).toEqual([]);
	expect(message?.outputUnreachableAnswers).toEqual([]);
});

test("an empty table is one message with the gauges", () => {
	const messages = chunks(snapshot([]));
	expect(messages).toHaveLength(1);
	expect(messages[0]?.gauges?.tableGeneration).toBe(7n);
});

test("more than a thousand rules go in chunks, each rule with all its outputs, rows counted from each chunk's start", () => {
	const messages = chunks(
		snapshot(
			Array.from({ length: 2_500 }, () => 2),
			["r0"],
		),
	);
	expect(messages.map(({ chunk, chunks: of, outputRule }) => [chunk, of, outputRule.length])).toEqual([
		[0, 3, 2000],
		[1, 3, 2000],
		[2, 3, 1000],
	]);
	expect(messages[2]?.outputRule.slice(0, 3)).toEqual([0, 0, 1]);
	expect(messages[2]?.ruleReceivedPackets[0]).toBe(2_000_000n);
	expect(messages[2]?.outputKeys[0]).toBe(4_000n << 40n);
	expect(messages.map(({ interfaceNames }) => interfaceNames.length)).toEqual([1, 0, 0]);
	expect(messages.every(({ sequence }) => sequence === 9n)).toBe(true);
});

test("wide fan-out makes chunks smaller, so that none outgrows a message", () => {
	const messages = encodeCounters(snapshot(Array.from({ length: 200 }, () => 256)), origin);
	expect(messages.length).toBeGreaterThan(3);
	expect(Math.max(...messages.map(({ length }) => length))).toBeLessThan(1_000_000);
	const outputs = messages.map((bytes) => fromBinary(WorkerCountersSchema, bytes).outputKeys.length);
	expect(outputs.reduce((sum, count) => sum + count, 0)).toBe(200 * 256);
	expect(outputs.every((count) => count % 256 === 0)).toBe(true);
});

test("a rule without output rows has none", () => {
	expect(chunks(snapshot([1, 0, 1]))[0]?.outputRule).toEqual([0, 2]);
});

test("rows that did not change are not encoded again, and each change is said", () => {
	const values = snapshot(
		Array.from({ length: 2_500 }, () => 2),
		["r0"],
	);
	const rows = new EncodedRows();
	const said = () => encodeCounters(values, origin, rows);
	said();
	const changes = [
		() => values.ruleUids.fill(9, 16 * 1_200, 16 * 1_201),
		() => values.ruleCounters.fill(77n, RULE_COUNTERS * 2_499),
		() => values.outputKeys.fill(5n, 0, 1),
		() => values.outputCounters.fill(8n, OUTPUT_COUNTERS * 4_999),
		() => values.outputRules.fill(1n, 1, 2),
		() => values.interfaceCounters.fill(3n),
		() => {},
	];
	for (const change of changes) {
		change();
		// As one says it who never said anything before.
		expect(said()).toEqual(encodeCounters(values, origin));
	}
	const range = { firstRule: 0, rules: 10, firstOutput: 0, outputs: 20 };
	const first = rows.rows(0, values, range);
	expect(rows.rows(0, values, range)).toBe(first);
	values.ruleCounters[0] = 5n;
	expect(rows.rows(0, values, range)).not.toBe(first);
	expect(encodeCounters(snapshot([1]), origin, rows)).toEqual(encodeCounters(snapshot([1]), origin));
});
