import { create, toBinary } from "@bufbuild/protobuf";
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
} from "@sluice/dataplane/counters";
import { interfaceName, type Snapshot } from "@sluice/dataplane/worker";
import { type WorkerCounters, WorkerCountersSchema, WorkerGaugesSchema } from "@sluice/proto/gen/stats";

/** Whose counters, and which publication of them. */
export interface CountersOrigin {
	readonly host: string;
	readonly worker: number;
	readonly incarnation: bigint;
	readonly sequence: bigint;
	readonly atMs: number;
}

/** One message stays far below NATS' limit with these. */
const RULES_PER_CHUNK = 1_000;
const OUTPUTS_PER_CHUNK = 8_192;

interface RowRange {
	readonly firstRule: number;
	readonly rules: number;
	readonly firstOutput: number;
	readonly outputs: number;
}

/**
 * A snapshot as messages for chunk 0, 1, …; always at least one. Rows come last, so that
 * whoever reads them sees as well which are the same as before.
 */
export function encodeCounters(
	snapshot: Snapshot,
	origin: CountersOrigin,
	kept: EncodedRows = new EncodedRows(),
): Uint8Array[] {
	const ranges = splitRows(snapshot);
	kept.limit(ranges.length);
	return ranges.map((range, chunk) => {
		const message = create(WorkerCountersSchema, {
			host: origin.host,
			worker: origin.worker,
			incarnation: origin.incarnation,
			sequence: origin.sequence,
			atUnixMs: BigInt(origin.atMs),
			chunk,
			chunks: ranges.length,
		});
		if (chunk === 0) addHostWide(message, snapshot);
		return Buffer.concat([toBinary(WorkerCountersSchema, message), kept.rows(chunk, snapshot, range)]);
	});
}

/** The rows of each chunk as they were encoded last: of many rules most are silent. */
export class EncodedRows {
	readonly #chunks: { readonly values: readonly Uint8Array[]; readonly bytes: Uint8Array }[] = [];

	limit(chunks: number): void {
		this.#chunks.length = Math.min(this.#chunks.length, chunks);
	}

	rows(chunk: number, snapshot: Snapshot, range: RowRange): Uint8Array {
		const values = rowValues(snapshot, range);
		const before = this.#chunks[chunk];
		if (
			before !== undefined &&
			values.every((value, k) => Buffer.compare(value, before.values[k] ?? NONE) === 0)
		)
			return before.bytes;
		const bytes = toBinary(WorkerCountersSchema, rowsMessage(snapshot, range));
		// Copies: the next snapshot overwrites what these are views of.
		this.#chunks[chunk] = { values: values.map((value) => value.slice()), bytes };
		return bytes;
	}
}

type Columns = Pick<Snapshot, "ruleUids" | "ruleCounters" | "outputRules" | "outputKeys" | "outputCounters">;

/** These rows, and nothing of whose they are. */
export function rowsMessage(columns: Columns, range: RowRange): WorkerCounters {
	const message = create(WorkerCountersSchema);
	addRules(message, columns, range);
	addOutputs(message, columns, range);
	return message;
}

const NONE = new Uint8Array();

/** All that the rows are made of. */
function rowValues(snapshot: Snapshot, { firstRule, rules, firstOutput, outputs }: RowRange): Uint8Array[] {
	const rows = ({ buffer, byteOffset }: BigUint64Array, rowLength: number, first: number, count: number) =>
		new Uint8Array(buffer, byteOffset + 8 * rowLength * first, 8 * rowLength * count);
	return [
		snapshot.ruleUids.subarray(16 * firstRule, 16 * (firstRule + rules)),
		rows(snapshot.ruleCounters, RULE_COUNTERS, firstRule, rules),
		rows(snapshot.outputRules, 1, firstOutput, outputs),
		rows(snapshot.outputKeys, 1, firstOutput, outputs),
		rows(snapshot.outputCounters, OUTPUT_COUNTERS, firstOutput, outputs),
	];
}

/** Whole rules with all their outputs, which follow each other in the order of the rules. */
function splitRows({ ruleCount, outputCount, outputRules }: Snapshot): RowRange[] {
	const ranges: RowRange[] = [];
	let firstRule = 0;
	let firstOutput = 0;
	let output = 0;
	for (let rule = 0; rule < ruleCount; rule += 1) {
		const ruleOutput = output;
		while (output < outputCount && Number(outputRules[output]) === rule) output += 1;
		if (rule - firstRule >= RULES_PER_CHUNK || output - firstOutput > OUTPUTS_PER_CHUNK) {
			ranges.push({ firstRule, rules: rule - firstRule, firstOutput, outputs: ruleOutput - firstOutput });
			firstRule = rule;
			firstOutput = ruleOutput;
		}
	}
	ranges.push({ firstRule, rules: ruleCount - firstRule, firstOutput, outputs: output - firstOutput });
	return ranges;
}

/** Column `counter` of `count` rows from `first` on. */
function column(
	values: BigUint64Array,
	rowLength: number,
	counter: number,
	first: number,
	count: number,
): bigint[] {
	return Array.from({ length: count }, (_, row) => values[(first + row) * rowLength + counter] ?? 0n);
}

/** The values of all reasons, reason by reason within a row. */
function byReason(
	values: BigUint64Array,
	rowLength: number,
	counter: number,
	reasons: number,
	first: number,
	count: number,
): bigint[] {
	return Array.from({ length: count * reasons }, (_, index) => {
		const row = first + Math.floor(index / reasons);
		return values[row * rowLength + counter + (index % reasons)] ?? 0n;
	});
}

function addRules(message: WorkerCounters, snapshot: Columns, { firstRule, rules }: RowRange): void {
	const rule = (counter: number) => column(snapshot.ruleCounters, RULE_COUNTERS, counter, firstRule, rules);
	message.ruleUids = snapshot.ruleUids.slice(firstRule * 16, (firstRule + rules) * 16);
	message.ruleReceivedPackets = rule(RULE_COUNTER.receivedPackets);
	message.ruleReceivedBytes = rule(RULE_COUNTER.receivedBytes);
	message.ruleForwardedPackets = rule(RULE_COUNTER.forwardedPackets);
	message.ruleLastReceivedUnixMs = rule(RULE_COUNTER.lastReceivedUnixMs);
	message.ruleDroppedPackets = byReason(
		snapshot.ruleCounters,
		RULE_COUNTERS,
		RULE_COUNTER.dropped,
		DROP_REASONS.length,
		firstRule,
		rules,
	);
}

function addOutputs(message: WorkerCounters, snapshot: Columns, range: RowRange): void {
	const { firstRule, firstOutput, outputs } = range;
	const output = (counter: number) =>
		column(snapshot.outputCounters, OUTPUT_COUNTERS, counter, firstOutput, outputs);
	message.outputRule = Array.from(
		snapshot.outputRules.subarray(firstOutput, firstOutput + outputs),
		(row) => Number(row) - firstRule,
	);
	message.outputKeys = Array.from(snapshot.outputKeys.subarray(firstOutput, firstOutput + outputs));
	message.outputEligiblePackets = output(OUTPUT_COUNTER.eligiblePackets);
	message.outputSentPackets = output(OUTPUT_COUNTER.sentPackets);
	message.outputSentBytes = output(OUTPUT_COUNTER.sentBytes);
	message.outputFailedPackets = output(OUTPUT_COUNTER.failedPackets);
	message.outputLimitedPackets = output(OUTPUT_COUNTER.limitedPackets);
	const answers = output(OUTPUT_COUNTER.unreachableAnswers);
	if (answers.some((count) => count > 0n)) message.outputUnreachableAnswers = answers;
	if (message.outputFailedPackets.every((count) => count === 0n)) return;
	message.outputFailedByReason = byReason(
		snapshot.outputCounters,
		OUTPUT_COUNTERS,
		OUTPUT_COUNTER.failedByReason,
		FAILURE_REASONS.length,
		firstOutput,
		outputs,
	);
}

function addHostWide(message: WorkerCounters, snapshot: Snapshot): void {
	const { interfaceCount, interfaceCounters, workerCounters } = snapshot;
	const perInterface = (counter: number) =>
		column(interfaceCounters, INTERFACE_COUNTERS, counter, 0, interfaceCount);
	message.interfaceNames = Array.from({ length: interfaceCount }, (_, row) => interfaceName(snapshot, row));
	message.interfaceCapturedFrames = perInterface(INTERFACE_COUNTER.capturedFrames);
	message.interfaceKernelDroppedFrames = perInterface(INTERFACE_COUNTER.kernelDroppedFrames);
	message.interfaceUnmatchedPackets = perInterface(INTERFACE_COUNTER.unmatchedPackets);
	message.interfaceDroppedPackets = byReason(
		interfaceCounters,
		INTERFACE_COUNTERS,
		INTERFACE_COUNTER.dropped,
		DROP_REASONS.length,
		0,
		interfaceCount,
	);
	message.gauges = create(WorkerGaugesSchema, {
		batches: workerCounters[WORKER_COUNTER.batches] ?? 0n,
		wakeups: workerCounters[WORKER_COUNTER.wakeups] ?? 0n,
		batchFrames: column(workerCounters, 1, 0, WORKER_COUNTER.batchFrames, HISTOGRAM_STEPS),
		segmentsPerSend: column(workerCounters, 1, 0, WORKER_COUNTER.segmentsPerSend, HISTOGRAM_STEPS),
		segmentationFallbacks: workerCounters[WORKER_COUNTER.segmentationFallbacks] ?? 0n,
		tableGeneration: snapshot.tableGeneration,
	});
}
