import {
	DROP_REASONS,
	FAILURE_REASONS,
	HISTOGRAM_STEPS,
	INTERFACE_COUNTER,
	INTERFACE_COUNTERS,
	OUTPUT_COUNTER,
	OUTPUT_COUNTERS,
	RULE_COUNTER,
	RULE_COUNTERS,
	WORKER_COUNTER,
	WORKER_COUNTERS,
} from "@sluice/dataplane/counters";
import type { WorkerCounters } from "@sluice/proto/gen/stats";
import { interfaceOwner, outputOwner, ruleOwner, uidText } from "../apply/owners.ts";

/** Counter blocks of one worker slot by their owners. */
export interface KnownCounters {
	readonly blocks: Map<string, BigUint64Array>;
	/** Of the rules among them. */
	readonly uids: Set<string>;
	/** The worker's own block. */
	own: BigUint64Array | undefined;
}

const REASONS = DROP_REASONS.length;
const FAILURES = FAILURE_REASONS.length;

/** Adds what a published message says; the reverse of the worker's encodeCounters(). */
export function addCounters(known: KnownCounters, message: WorkerCounters): void {
	const rules = message.ruleUids.length / 16;
	const uids = Array.from({ length: rules }, (_, row) =>
		uidText(message.ruleUids.subarray(row * 16, row * 16 + 16)),
	);
	for (const [row, uid] of uids.entries()) {
		const block = new BigUint64Array(RULE_COUNTERS);
		block[RULE_COUNTER.receivedPackets] = message.ruleReceivedPackets[row] ?? 0n;
		block[RULE_COUNTER.receivedBytes] = message.ruleReceivedBytes[row] ?? 0n;
		block[RULE_COUNTER.forwardedPackets] = message.ruleForwardedPackets[row] ?? 0n;
		block[RULE_COUNTER.lastReceivedUnixMs] = message.ruleLastReceivedUnixMs[row] ?? 0n;
		block.set(message.ruleDroppedPackets.slice(row * REASONS, (row + 1) * REASONS), RULE_COUNTER.dropped);
		known.blocks.set(ruleOwner(uid), block);
		known.uids.add(uid);
	}
	for (const [row, key] of message.outputKeys.entries()) {
		const uid = uids[message.outputRule[row] ?? -1];
		if (uid === undefined) continue;
		const block = new BigUint64Array(OUTPUT_COUNTERS);
		block[OUTPUT_COUNTER.eligiblePackets] = message.outputEligiblePackets[row] ?? 0n;
		block[OUTPUT_COUNTER.sentPackets] = message.outputSentPackets[row] ?? 0n;
		block[OUTPUT_COUNTER.sentBytes] = message.outputSentBytes[row] ?? 0n;
		block[OUTPUT_COUNTER.failedPackets] = message.outputFailedPackets[row] ?? 0n;
		block[OUTPUT_COUNTER.limitedPackets] = message.outputLimitedPackets[row] ?? 0n;
		block[OUTPUT_COUNTER.unreachableAnswers] = message.outputUnreachableAnswers[row] ?? 0n;
		const failed = message.outputFailedByReason.slice(row * FAILURES, (row + 1) * FAILURES);
		block.set(failed, OUTPUT_COUNTER.failedByReason);
		known.blocks.set(outputOwner(uid, key), block);
	}
	addHostWide(known, message);
}

function addHostWide(known: KnownCounters, message: WorkerCounters): void {
	for (const [row, name] of message.interfaceNames.entries()) {
		const block = new BigUint64Array(INTERFACE_COUNTERS);
		block[INTERFACE_COUNTER.capturedFrames] = message.interfaceCapturedFrames[row] ?? 0n;
		block[INTERFACE_COUNTER.kernelDroppedFrames] = message.interfaceKernelDroppedFrames[row] ?? 0n;
		block[INTERFACE_COUNTER.unmatchedPackets] = message.interfaceUnmatchedPackets[row] ?? 0n;
		const dropped = message.interfaceDroppedPackets.slice(row * REASONS, (row + 1) * REASONS);
		block.set(dropped, INTERFACE_COUNTER.dropped);
		known.blocks.set(interfaceOwner(name), block);
	}
	const { gauges } = message;
	if (gauges === undefined) return;
	const own = new BigUint64Array(WORKER_COUNTERS);
	own[WORKER_COUNTER.batches] = gauges.batches;
	own[WORKER_COUNTER.wakeups] = gauges.wakeups;
	own[WORKER_COUNTER.segmentationFallbacks] = gauges.segmentationFallbacks;
	own.set(gauges.batchFrames.slice(0, HISTOGRAM_STEPS), WORKER_COUNTER.batchFrames);
	own.set(gauges.segmentsPerSend.slice(0, HISTOGRAM_STEPS), WORKER_COUNTER.segmentsPerSend);
	known.own = own;
}
