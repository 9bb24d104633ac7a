import { fromBinary } from "@bufbuild/protobuf";
import {
	Drop_ReasonSchema,
	Failure_ReasonSchema,
	type WorkerCounters,
	WorkerCountersSchema,
} from "@sluice/proto/gen/stats";
import { countersSubject } from "@sluice/proto/subjects";
import type { Countable } from "./catalogue.ts";
import type { Chunk, InterfaceSample, OutputSample, RuleSample } from "./sample.ts";

/** As many columns per rule and interface as the closed enum has reasons. */
const DROP_REASONS = Drop_ReasonSchema.values.length;
/** The same per output. */
const FAILURE_REASONS = Failure_ReasonSchema.values.length;

export const limits = {
	workersPerHost: 1024,
	/** A worker has room for 10,000 rules and 262,144 outputs, and says 1,000 and 8,192 at a time. */
	chunks: 48,
	rulesPerChunk: 2_000,
	outputsPerChunk: 8_192,
	/** Of a part of what is kept of a host (ADR 0115). */
	outputsKept: 100_000,
	interfaces: 4096,
	/** The kernel's. */
	interfaceNameLength: 15,
	/** SLUICE_HISTOGRAM_STEPS of sluice.h. */
	histogramSteps: 12,
} as const;

const UID_BYTES = 16;
const HOST_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

export type Decoded = { readonly chunk: Chunk } | { readonly refused: string };

/**
 * Decodes one message of the counters stream. Whoever may publish counters of a host may
 * send any bytes, so every length and index is checked here and believed afterwards. The
 * message must speak of the worker whose subject it came on: the server's permissions
 * guard subjects, not payloads. Rows of what is not `countable` are left out: of what was removed, and made-up ones.
 */
export function decodeCounters(subject: string, bytes: Uint8Array, countable?: Countable): Decoded {
	let message: WorkerCounters;
	try {
		message = fromBinary(WorkerCountersSchema, bytes, { readUnknownFields: false });
	} catch {
		return { refused: "not a WorkerCounters message" };
	}
	const refused =
		identityFault(subject, message) ??
		ruleColumnsFault(message) ??
		outputColumnsFault(message, limits.outputsPerChunk) ??
		interfaceColumnsFault(message) ??
		gaugesFault(message);
	return refused === undefined ? { chunk: toChunk(message, countable) } : { refused };
}

/** Of a message that holds nothing but rules and their outputs; undefined: its columns do not fit each other. */
export function decodeRules(
	message: WorkerCounters,
	countable?: Countable,
): Map<string, RuleSample> | undefined {
	const fault = ruleColumnsFault(message) ?? outputColumnsFault(message, limits.outputsKept);
	return fault === undefined ? ruleSamples(message, countable) : undefined;
}

function identityFault(subject: string, message: WorkerCounters): string | undefined {
	const { host, worker, chunk, chunks } = message;
	if (!HOST_ID.test(host)) {
		return "bad host id";
	}
	if (worker >= limits.workersPerHost) {
		return `worker ${worker} is beyond the limit of ${limits.workersPerHost}`;
	}
	if (chunks < 1 || chunks > limits.chunks || chunk >= chunks) {
		return `chunk ${chunk} of ${chunks}`;
	}
	if (subject !== countersSubject(host, worker, chunk)) {
		return `speaks of worker ${worker} of ${host}, chunk ${chunk}`;
	}
	return undefined;
}

function ruleColumnsFault(message: WorkerCounters): string | undefined {
	const rows = message.ruleUids.length / UID_BYTES;
	if (!Number.isInteger(rows) || rows > limits.rulesPerChunk) {
		return `${message.ruleUids.length} bytes of rule uids`;
	}
	return (
		columnsFault("rule", rows, [
			message.ruleReceivedPackets,
			message.ruleReceivedBytes,
			message.ruleForwardedPackets,
			message.ruleLastReceivedUnixMs,
		]) ?? (message.ruleDroppedPackets.length === rows * DROP_REASONS ? undefined : "rule drop column length")
	);
}

function outputColumnsFault(message: WorkerCounters, most: number): string | undefined {
	const rules = message.ruleUids.length / UID_BYTES;
	const rows = message.outputKeys.length;
	if (rows > most) {
		return `${rows} outputs`;
	}
	if (message.outputRule.some((row) => row >= rules)) {
		return "an output of a rule that is not in the message";
	}
	if (!isEmptyOr(message.outputFailedByReason, rows * FAILURE_REASONS)) {
		return "output failure column length";
	}
	if (!isEmptyOr(message.outputUnreachableAnswers, rows)) {
		return "output answer column length";
	}
	return columnsFault("output", rows, [
		message.outputRule,
		message.outputEligiblePackets,
		message.outputSentPackets,
		message.outputSentBytes,
		message.outputFailedPackets,
		message.outputLimitedPackets,
	]);
}

function interfaceColumnsFault(message: WorkerCounters): string | undefined {
	const rows = message.interfaceNames.length;
	if (rows > limits.interfaces) {
		return `${rows} interfaces`;
	}
	if (rows > 0 && message.chunk > 0) return "interfaces in a further chunk";
	if (message.interfaceNames.some((name) => name.length > limits.interfaceNameLength))
		return "interface name length";
	if (message.interfaceDroppedPackets.length !== rows * DROP_REASONS) {
		return "interface drop column length";
	}
	return columnsFault("interface", rows, [
		message.interfaceCapturedFrames,
		message.interfaceKernelDroppedFrames,
		message.interfaceUnmatchedPackets,
	]);
}

function gaugesFault({ gauges, chunk }: WorkerCounters): string | undefined {
	if (gauges === undefined) return undefined;
	if (chunk > 0) return "gauges in a further chunk";
	const { batchFrames, segmentsPerSend } = gauges;
	return Math.max(batchFrames.length, segmentsPerSend.length) > limits.histogramSteps
		? "histogram length"
		: undefined;
}

function columnsFault(
	what: string,
	rows: number,
	columns: readonly (readonly unknown[])[],
): string | undefined {
	return columns.every((column) => column.length === rows) ? undefined : `${what} column lengths differ`;
}

/** A column that is left out says that all its values are 0. */
function isEmptyOr(column: readonly unknown[], length: number): boolean {
	return column.length === 0 || column.length === length;
}

function toChunk(message: WorkerCounters, countable: Countable): Chunk {
	const { host, worker, incarnation, sequence, atUnixMs, chunk, chunks, gauges } = message;
	const rules = ruleSamples(message, countable);
	const interfaces = interfaceSamples(message);
	return { host, worker, incarnation, sequence, atUnixMs, chunk, chunks, rules, interfaces, gauges };
}

function ruleSamples(message: WorkerCounters, countable?: Countable): Map<string, RuleSample> {
	const rows = message.ruleUids.length / UID_BYTES;
	const rules = new Map<string, RuleSample>();
	const outputs = Array.from({ length: rows }, (_, row) => {
		const uid = uidText(message.ruleUids, row * UID_BYTES);
		const keys = countable?.get(uid);
		if (countable !== undefined && keys === undefined) return undefined;
		const samples = new Map<bigint, OutputSample>();
		rules.set(uid, {
			receivedPackets: message.ruleReceivedPackets[row] ?? 0n,
			receivedBytes: message.ruleReceivedBytes[row] ?? 0n,
			forwardedPackets: message.ruleForwardedPackets[row] ?? 0n,
			lastReceivedUnixMs: message.ruleLastReceivedUnixMs[row] ?? 0n,
			droppedPackets: message.ruleDroppedPackets.slice(row * DROP_REASONS, (row + 1) * DROP_REASONS),
			outputs: samples,
		});
		return { keys, samples };
	});
	for (const [k, key] of message.outputKeys.entries()) {
		const rule = outputs[message.outputRule[k] ?? 0];
		if (rule === undefined || rule.keys?.has(key) === false) continue;
		rule.samples.set(key, {
			eligiblePackets: message.outputEligiblePackets[k] ?? 0n,
			sentPackets: message.outputSentPackets[k] ?? 0n,
			sentBytes: message.outputSentBytes[k] ?? 0n,
			failedPackets: message.outputFailedPackets[k] ?? 0n,
			limitedPackets: message.outputLimitedPackets[k] ?? 0n,
			failedByReason: message.outputFailedByReason.slice(k * FAILURE_REASONS, (k + 1) * FAILURE_REASONS),
			unreachableAnswers: message.outputUnreachableAnswers[k] ?? 0n,
		});
	}
	return rules;
}

function interfaceSamples(message: WorkerCounters): Map<string, InterfaceSample> {
	const interfaces = new Map<string, InterfaceSample>();
	for (const [row, name] of message.interfaceNames.entries()) {
		interfaces.set(name, {
			capturedFrames: message.interfaceCapturedFrames[row] ?? 0n,
			kernelDroppedFrames: message.interfaceKernelDroppedFrames[row] ?? 0n,
			unmatchedPackets: message.interfaceUnmatchedPackets[row] ?? 0n,
			droppedPackets: message.interfaceDroppedPackets.slice(row * DROP_REASONS, (row + 1) * DROP_REASONS),
		});
	}
	return interfaces;
}

/** The 16 bytes at `offset` in the form that StoredRule.uid has. */
function uidText(bytes: Uint8Array, offset: number): string {
	const hex = bytes.subarray(offset, offset + UID_BYTES).toHex();
	return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
