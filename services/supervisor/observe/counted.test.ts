import { expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import { OUTPUT_COUNTER, RULE_COUNTER } from "@sluice/dataplane/counters";
import { createMemory } from "@sluice/dataplane/descriptor-store";
import { keptPart } from "@sluice/proto/subjects";
import { CounterBlocks } from "../apply/counter-blocks.ts";
import { outputOwner, ruleOwner } from "../apply/owners.ts";
import { readCounted } from "./counted.ts";

const HEARD = "2a000000-0000-4000-8000-000000000001";
const SILENT = "2b000000-0000-4000-8000-000000000002";
const ANSWERED = "2c000000-0000-4000-8000-000000000003";

test("what all workers counted is summed, by rule and output; of rules that nothing came for nothing is said, but what came back", () => {
	const blocks = new CounterBlocks(1024, 64);
	const rule = blocks.assign(ruleOwner(HEARD), 16) ?? 0;
	blocks.assign(ruleOwner(SILENT), 16);
	const outputs = [7n, 9n].map((key) => blocks.assign(outputOwner(HEARD, key), 16) ?? 0);
	blocks.assign(ruleOwner(ANSWERED), 16);
	const answered = blocks.assign(outputOwner(ANSWERED, 5n), 16) ?? 0;
	const memories = [createMemory(), createMemory()];
	for (const [slot, memory] of memories.entries()) {
		const values = new BigUint64Array(1024);
		values[rule + RULE_COUNTER.receivedPackets] = 10n;
		values[rule + RULE_COUNTER.lastReceivedUnixMs] = 1_000n + BigInt(slot);
		values[answered + OUTPUT_COUNTER.unreachableAnswers] = BigInt(slot);
		for (const [k, output] of outputs.entries()) values[output + OUTPUT_COUNTER.sentPackets] = BigInt(k + 1);
		writeSync(memory, values);
	}
	const counted = readCounted(memories, blocks.layout());
	for (const memory of memories) closeSync(memory);
	expect([...counted.keys()]).toEqual([keptPart(HEARD), keptPart(ANSWERED)]);
	expect(counted.get(keptPart(ANSWERED))).toMatchObject({
		ruleReceivedPackets: [0n],
		outputKeys: [5n],
		outputUnreachableAnswers: [1n],
	});
	expect(counted.get(keptPart(HEARD))).toMatchObject({
		ruleReceivedPackets: [20n],
		ruleLastReceivedUnixMs: [1_001n],
		outputKeys: [7n, 9n],
		outputRule: [0, 0],
		outputSentPackets: [2n, 4n],
	});
});
