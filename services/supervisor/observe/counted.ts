import { readSync } from "node:fs";
import { OUTPUT_COUNTER, OUTPUT_COUNTERS, RULE_COUNTER, RULE_COUNTERS } from "@sluice/dataplane/counters";
import type { WorkerCounters } from "@sluice/proto/gen/stats";
import { keptPart } from "@sluice/proto/subjects";
import type { BlockLayout } from "../apply/counter-blocks.ts";
import { outputOfOwner, uidBytes, uidOfOwner } from "../apply/owners.ts";
import { rowsMessage } from "../worker/encode-counters.ts";

interface Row {
	readonly counters: BigUint64Array;
	readonly outputs: [bigint, BigUint64Array][];
}

/**
 * Sums over all workers of what the host's rules counted, by part of the bucket `sluice_figures`; rules
 * that nothing came for, and nothing came back from, are left out.
 * @param memories one per worker, whether it lives or not.
 */
export function readCounted(
	memories: readonly number[],
	{ owned, next }: Pick<BlockLayout, "owned" | "next">,
): Map<number, WorkerCounters> {
	const all = memories.map((memory) => readMemory(memory, next));
	const sumOf = (index: number, length: number) => {
		const sum = new BigUint64Array(length);
		for (const memory of all)
			for (const [k, value] of memory.subarray(index, index + length).entries())
				sum[k] = (sum[k] ?? 0n) + value;
		return sum;
	};
	const isCounted = (index: number) => all.some((memory) => (memory[index] ?? 0n) > 0n);
	const counting = new Set<string>();
	for (const [owner, index] of owned) {
		const uid = uidOfOwner(owner);
		if (uid !== undefined && isCounted(index + RULE_COUNTER.receivedPackets)) counting.add(uid);
		// What a run before this one sent may be answered now.
		const output = outputOfOwner(owner);
		if (output !== undefined && isCounted(index + OUTPUT_COUNTER.unreachableAnswers))
			counting.add(output.uid);
	}
	const rows = new Map<string, Row>();
	for (const [owner, index] of owned) {
		const uid = uidOfOwner(owner);
		if (uid === undefined || !counting.has(uid)) continue;
		const counters = sumOf(index, RULE_COUNTERS);
		// A time, and no count.
		const last = index + RULE_COUNTER.lastReceivedUnixMs;
		const times = all.map((memory) => Number(memory[last] ?? 0n));
		counters[RULE_COUNTER.lastReceivedUnixMs] = BigInt(Math.max(...times));
		rows.set(uid, { counters, outputs: [] });
	}
	for (const [owner, index] of owned) {
		const output = outputOfOwner(owner);
		if (output !== undefined) rows.get(output.uid)?.outputs.push([output.key, sumOf(index, OUTPUT_COUNTERS)]);
	}
	const parts = Map.groupBy(rows, ([uid]) => keptPart(uid));
	return new Map([...parts].map(([part, some]) => [part, columnsOf(some)]));
}

function readMemory(fd: number, length: number): BigUint64Array {
	const values = new BigUint64Array(length);
	readSync(fd, values, 0, values.byteLength, 0);
	return values;
}

function columnsOf(rows: readonly [string, Row][]): WorkerCounters {
	const outputs = rows.flatMap(([, row], k) => row.outputs.map(([key, counters]) => ({ k, key, counters })));
	const columns = {
		ruleUids: Buffer.concat(rows.map(([uid]) => uidBytes(uid))),
		ruleCounters: joined(rows.map(([, { counters }]) => counters)),
		outputRules: BigUint64Array.from(outputs, ({ k }) => BigInt(k)),
		outputKeys: BigUint64Array.from(outputs, ({ key }) => key),
		outputCounters: joined(outputs.map(({ counters }) => counters)),
	};
	const range = { firstRule: 0, rules: rows.length, firstOutput: 0, outputs: outputs.length };
	return { ...rowsMessage(columns, range), atUnixMs: BigInt(Date.now()) };
}

function joined(blocks: readonly BigUint64Array[]): BigUint64Array {
	return BigUint64Array.from(blocks.flatMap((block) => [...block]));
}
