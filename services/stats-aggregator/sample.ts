import type { WorkerGauges } from "@sluice/proto/gen/stats";

/** Absolute counters of one output of one rule, as one worker saw them. */
export interface OutputSample {
	readonly eligiblePackets: bigint;
	readonly sentPackets: bigint;
	readonly sentBytes: bigint;
	readonly failedPackets: bigint;
	readonly limitedPackets: bigint;
	/** Indexed by Failure.Reason; empty: nothing failed. */
	readonly failedByReason: readonly bigint[];
	/** ICMP messages, not datagrams. */
	readonly unreachableAnswers: bigint;
}

/** Absolute counters of one rule, as one worker saw them. */
export interface RuleSample {
	readonly receivedPackets: bigint;
	readonly receivedBytes: bigint;
	readonly forwardedPackets: bigint;
	/** Unix milliseconds by the worker's clock; 0: never. */
	readonly lastReceivedUnixMs: bigint;
	/** Indexed by Drop.Reason. */
	readonly droppedPackets: readonly bigint[];
	/** By output key (proto/output-key.ts). */
	readonly outputs: ReadonlyMap<bigint, OutputSample>;
}

/** Absolute counters of one input interface, as one worker saw them. */
export interface InterfaceSample {
	readonly capturedFrames: bigint;
	readonly kernelDroppedFrames: bigint;
	readonly unmatchedPackets: bigint;
	/** Indexed by Drop.Reason. */
	readonly droppedPackets: readonly bigint[];
}

/** One chunk of one publication: what one WorkerCounters message says, checked. */
export interface Chunk {
	readonly host: string;
	readonly worker: number;
	readonly incarnation: bigint;
	readonly sequence: bigint;
	readonly atUnixMs: bigint;
	readonly chunk: number;
	readonly chunks: number;
	/** By rule uid. */
	readonly rules: ReadonlyMap<string, RuleSample>;
	/** By interface name. */
	readonly interfaces: ReadonlyMap<string, InterfaceSample>;
	readonly gauges: WorkerGauges | undefined;
}

/** All chunks of one publication of one worker, joined. */
export interface Sample {
	readonly incarnation: bigint;
	readonly sequence: bigint;
	readonly atUnixMs: bigint;
	/** When its last chunk reached this aggregator, Unix milliseconds by its own clock. */
	readonly heardAtMs: number;
	readonly rules: ReadonlyMap<string, RuleSample>;
	readonly interfaces: ReadonlyMap<string, InterfaceSample>;
	readonly gauges: WorkerGauges | undefined;
}

/** Joins the chunks of one publication; the caller has made sure that none is missing. */
export function joinChunks(chunks: readonly Chunk[], heardAtMs: number): Sample {
	const [first] = chunks;
	if (first === undefined) {
		throw new Error("a sample has at least one chunk");
	}
	const { incarnation, sequence, atUnixMs } = first;
	if (chunks.length === 1) {
		const { rules, interfaces, gauges } = first;
		return { incarnation, sequence, atUnixMs, heardAtMs, rules, interfaces, gauges };
	}
	const rules = new Map<string, RuleSample>();
	for (const chunk of chunks) {
		for (const [uid, rule] of chunk.rules) {
			const earlier = rules.get(uid);
			rules.set(uid, earlier === undefined ? rule : withFurtherOutputs(earlier, rule));
		}
	}
	const { interfaces, gauges } = chunks.find((chunk) => chunk.chunk === 0) ?? first;
	return { incarnation, sequence, atUnixMs, heardAtMs, rules, interfaces, gauges };
}

/**
 * A rule with very many outputs may be continued in a further chunk, whose row repeats
 * the rule's own figures: they are the same reading, so only the outputs add up.
 */
function withFurtherOutputs(earlier: RuleSample, further: RuleSample): RuleSample {
	return { ...earlier, outputs: new Map([...earlier.outputs, ...further.outputs]) };
}
