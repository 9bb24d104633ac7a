import { expect, test } from "bun:test";
import { fromBinary } from "@bufbuild/protobuf";
import {
	INTERFACE_COUNTERS,
	OUTPUT_COUNTERS,
	RULE_COUNTERS,
	WORKER_COUNTERS,
} from "@sluice/dataplane/counters";
import type { Snapshot } from "@sluice/dataplane/worker";
import { WorkerCountersSchema } from "@sluice/proto/gen/stats";
import { interfaceOwner, outputOwner, ruleOwner, uidBytes } from "../apply/owners.ts";
import { encodeCounters } from "../worker/encode-counters.ts";
import { addCounters, type KnownCounters } from "./decode-counters.ts";

const UIDS = ["0f8fad5b-d9cb-469f-a165-70867728950e", "1f8fad5b-d9cb-469f-a165-70867728950e"] as const;

function values(length: number): BigUint64Array {
	return BigUint64Array.from({ length }, (_, index) => BigInt(index + 1));
}

test("what a worker publishes is brought back into the blocks that it came from", () => {
	const ruleUids = new Uint8Array(32);
	for (const [row, uid] of UIDS.entries()) ruleUids.set(uidBytes(uid), row * 16);
	const interfaceNames = new Uint8Array(16);
	interfaceNames.set(new TextEncoder().encode("r0"));
	const snapshot: Snapshot = {
		tableGeneration: 1n,
		ruleCount: 2,
		outputCount: 3,
		interfaceCount: 1,
		ruleUids,
		ruleCounters: values(2 * RULE_COUNTERS),
		outputRules: BigUint64Array.of(0n, 0n, 1n),
		outputKeys: BigUint64Array.of(10n, 11n, 10n),
		outputCounters: values(3 * OUTPUT_COUNTERS),
		interfaceNames,
		interfaceCounters: values(INTERFACE_COUNTERS),
		workerCounters: values(WORKER_COUNTERS),
	};
	const known: KnownCounters = { blocks: new Map(), uids: new Set(), own: undefined };
	const origin = { host: "a", worker: 0, incarnation: 1n, sequence: 1n, atMs: 1 };
	for (const bytes of encodeCounters(snapshot, origin))
		addCounters(known, fromBinary(WorkerCountersSchema, bytes));

	expect([...known.uids]).toEqual([...UIDS]);
	expect(known.blocks.get(ruleOwner(UIDS[1]))).toEqual(snapshot.ruleCounters.slice(RULE_COUNTERS));
	// Counters of an output and an interface that are not in use yet are not published.
	const output = known.blocks.get(outputOwner(UIDS[1], 10n));
	for (const [first, end] of [
		[0, 6],
		[8, 15],
	] as const) {
		expect(output?.slice(first, end)).toEqual(
			snapshot.outputCounters.slice(2 * OUTPUT_COUNTERS + first, 2 * OUTPUT_COUNTERS + end),
		);
	}
	expect(known.blocks.get(interfaceOwner("r0"))?.slice(0, 15)).toEqual(
		snapshot.interfaceCounters.slice(0, 15),
	);
	expect(known.own?.slice(0, 3)).toEqual(snapshot.workerCounters.slice(0, 3));
	expect(known.own?.slice(24, 36)).toEqual(snapshot.workerCounters.slice(24, 36));
	expect(known.blocks.size).toBe(6);
});

test("a message whose columns do not fit together harms nobody", () => {
	const known: KnownCounters = { blocks: new Map(), uids: new Set(), own: undefined };
	const message = fromBinary(WorkerCountersSchema, new Uint8Array());
	message.ruleUids = new Uint8Array(16);
	message.outputKeys = [1n, 2n];
	message.outputRule = [7];
	message.interfaceNames = ["r0"];
	addCounters(known, message);
	expect(known.blocks.get(ruleOwner("00000000-0000-0000-0000-000000000000"))).toEqual(
		new BigUint64Array(RULE_COUNTERS),
	);
	expect(known.blocks.size).toBe(2);
});
