import { create, type DescEnum } from "@bufbuild/protobuf";
import {
	Drop_ReasonSchema,
	Failure_ReasonSchema,
	type InterfaceStats,
	InterfaceStatsSchema,
	type OutputStats,
	OutputStatsSchema,
	RuleHostStatsSchema,
	type RuleStats,
	RuleStatsSchema,
	type WorkerStats,
	WorkerStatsSchema,
} from "@sluice/proto/gen/stats";
import type { CataloguedOutput, CataloguedRule } from "./catalogue.ts";
import type { Fold, HostFold, WorkerFold } from "./fold.ts";
import type { OutputSample, RuleSample } from "./sample.ts";

/** A worker that was not heard for longer has no rate; it publishes each second. */
export const SILENT_WORKER_MS = 3000;

interface OutputSums {
	eligiblePackets: bigint;
	sentPackets: bigint;
	sentBytes: bigint;
	failedPackets: bigint;
	limitedPackets: bigint;
	/** Indexed by Failure.Reason. */
	readonly failedByReason: bigint[];
	unreachableAnswers: bigint;
	packetsPerSecond: number;
}

interface RuleSums {
	receivedPackets: bigint;
	receivedBytes: bigint;
	forwardedPackets: bigint;
	/** Indexed by Drop.Reason. */
	readonly droppedPackets: bigint[];
	packetsPerSecond: number;
	bitsPerSecond: number;
	/** In the order of the rule's outputs. */
	readonly outputs: OutputSums[];
	/** Since the last datagram; undefined: there was none. */
	silentMs: number | undefined;
}

/** What the cluster counted for one rule, at `nowMs` of the aggregator's clock. */
export function ruleStats(fold: Fold, rule: CataloguedRule, nowMs: number): RuleStats {
	const total = emptySums(rule);
	const hosts = [];
	for (const [host, hostFold] of byKey(fold.hosts)) {
		const sums = hostSums(hostFold, rule, nowMs);
		if (sums === undefined) {
			continue;
		}
		addSums(total, sums);
		hosts.push(create(RuleHostStatsSchema, { host, ...figures(rule, sums) }));
	}
	const silent = total.silentMs === undefined ? {} : { silentSeconds: total.silentMs / 1000 };
	return create(RuleStatsSchema, {
		name: rule.name,
		uid: rule.uid,
		hosts,
		...figures(rule, total),
		...silent,
	});
}

/** Every input interface that some worker reports, by host and name. */
export function interfaceStats(fold: Fold): InterfaceStats[] {
	const all: InterfaceStats[] = [];
	for (const [host, hostFold] of byKey(fold.hosts)) {
		const sums = new Map<string, { stats: InterfaceStats; dropped: bigint[] }>();
		for (const { latest } of hostFold.workers.values()) {
			for (const [name, sample] of latest?.interfaces ?? []) {
				const sum = sums.get(name) ?? {
					stats: create(InterfaceStatsSchema, { host, interface: name }),
					dropped: zeroDrops(),
				};
				sum.stats.capturedFrames += sample.capturedFrames;
				sum.stats.kernelDroppedFrames += sample.kernelDroppedFrames;
				sum.stats.unmatchedPackets += sample.unmatchedPackets;
				addEach(sum.dropped, sample.droppedPackets);
				sums.set(name, sum);
			}
		}
		for (const [, { stats, dropped }] of byKey(sums)) {
			stats.droppedPackets = named(Drop_ReasonSchema, dropped);
			all.push(stats);
		}
	}
	return all;
}

/** Every worker that was heard of, by host and slot. */
export function workerStats(fold: Fold, nowMs: number): WorkerStats[] {
	const all: WorkerStats[] = [];
	for (const [host, hostFold] of byKey(fold.hosts)) {
		for (const [worker, { latest }] of [...hostFold.workers].sort(([a], [b]) => a - b)) {
			if (latest === undefined) {
				continue;
			}
			const ageSeconds = Math.max(0, nowMs - latest.heardAtMs) / 1000;
			const gauges = latest.gauges === undefined ? {} : { gauges: latest.gauges };
			all.push(create(WorkerStatsSchema, { host, worker, ageSeconds, ...gauges }));
		}
	}
	return all;
}

/** Undefined: no worker of the host knows the rule. */
function hostSums(host: HostFold, rule: CataloguedRule, nowMs: number): RuleSums | undefined {
	let sums: RuleSums | undefined;
	for (const worker of host.workers.values()) {
		const sample = worker.latest?.rules.get(rule.uid);
		if (sample !== undefined) {
			sums ??= emptySums(rule);
			addWorker(sums, rule, worker, sample, nowMs);
		}
	}
	return sums;
}

function addWorker(
	sums: RuleSums,
	rule: CataloguedRule,
	worker: WorkerFold,
	sample: RuleSample,
	nowMs: number,
): void {
	const seconds = rateSeconds(worker, nowMs);
	const before = worker.baseline?.rules.get(rule.uid);
	sums.receivedPackets += sample.receivedPackets;
	sums.receivedBytes += sample.receivedBytes;
	sums.forwardedPackets += sample.forwardedPackets;
	addEach(sums.droppedPackets, sample.droppedPackets);
	sums.packetsPerSecond += rate(sample.receivedPackets, before?.receivedPackets, seconds);
	sums.bitsPerSecond += 8 * rate(sample.receivedBytes, before?.receivedBytes, seconds);
	sums.silentMs = shorter(sums.silentMs, silentMs(worker, sample, nowMs));
	for (const [k, output] of rule.outputs.entries()) {
		const into = sums.outputs[k];
		const counted = sample.outputs.get(output.key);
		if (into !== undefined && counted !== undefined) {
			addOutput(into, counted);
			into.packetsPerSecond += rate(
				counted.sentPackets,
				before?.outputs.get(output.key)?.sentPackets,
				seconds,
			);
		}
	}
}

/** Seconds between the two samples that rates come from, by the worker's clock; 0: no rate. */
function rateSeconds({ latest, baseline }: WorkerFold, nowMs: number): number {
	if (latest === undefined || baseline === undefined || nowMs - latest.heardAtMs > SILENT_WORKER_MS) {
		return 0;
	}
	return Math.max(0, Number(latest.atUnixMs - baseline.atUnixMs) / 1000);
}

/** A figure that was not in both samples, or that began anew, has no rate yet. */
function rate(now: bigint, before: bigint | undefined, seconds: number): number {
	return before === undefined || seconds === 0 || now < before ? 0 : Number(now - before) / seconds;
}

/** By the worker's clock up to the reading, by ours since then: no clock is compared with another. */
function silentMs({ latest }: WorkerFold, sample: RuleSample, nowMs: number): number | undefined {
	if (latest === undefined || sample.lastReceivedUnixMs === 0n) {
		return undefined;
	}
	const beforeReading = Number(latest.atUnixMs - sample.lastReceivedUnixMs);
	return Math.max(0, beforeReading) + Math.max(0, nowMs - latest.heardAtMs);
}

function shorter(a: number | undefined, b: number | undefined): number | undefined {
	return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function addSums(into: RuleSums, from: RuleSums): void {
	into.receivedPackets += from.receivedPackets;
	into.receivedBytes += from.receivedBytes;
	into.forwardedPackets += from.forwardedPackets;
	addEach(into.droppedPackets, from.droppedPackets);
	into.packetsPerSecond += from.packetsPerSecond;
	into.bitsPerSecond += from.bitsPerSecond;
	into.silentMs = shorter(into.silentMs, from.silentMs);
	for (const [k, output] of from.outputs.entries()) {
		const sum = into.outputs[k];
		if (sum !== undefined) {
			addOutput(sum, output);
			sum.packetsPerSecond += output.packetsPerSecond;
		}
	}
}

function addOutput(into: OutputSums, from: OutputSample): void {
	into.eligiblePackets += from.eligiblePackets;
	into.sentPackets += from.sentPackets;
	into.sentBytes += from.sentBytes;
	into.failedPackets += from.failedPackets;
	into.limitedPackets += from.limitedPackets;
	addEach(into.failedByReason, from.failedByReason);
	into.unreachableAnswers += from.unreachableAnswers;
}

function addEach(into: bigint[], from: readonly bigint[]): void {
	for (const [k, value] of from.entries()) {
		into[k] = (into[k] ?? 0n) + value;
	}
}

function emptySums(rule: CataloguedRule): RuleSums {
	return {
		receivedPackets: 0n,
		receivedBytes: 0n,
		forwardedPackets: 0n,
		droppedPackets: zeroDrops(),
		packetsPerSecond: 0,
		bitsPerSecond: 0,
		outputs: rule.outputs.map(() => ({
			eligiblePackets: 0n,
			sentPackets: 0n,
			sentBytes: 0n,
			failedPackets: 0n,
			limitedPackets: 0n,
			failedByReason: [],
			unreachableAnswers: 0n,
			packetsPerSecond: 0,
		})),
		silentMs: undefined,
	};
}

function zeroDrops(): bigint[] {
	return Drop_ReasonSchema.values.map(() => 0n);
}

/** By the reason's name; those that never happened are left out. */
function named(reasons: DescEnum, counts: readonly bigint[]): Record<string, bigint> {
	const named: Record<string, bigint> = {};
	for (const { name, number } of reasons.values) {
		const count = counts[number] ?? 0n;
		if (count > 0n) {
			named[name] = count;
		}
	}
	return named;
}

function outputStats(output: CataloguedOutput, sums: OutputSums | undefined): OutputStats {
	const { interface: interfaceName, address, port } = output;
	const failedByReason = named(Failure_ReasonSchema, sums?.failedByReason ?? []);
	return create(OutputStatsSchema, { interface: interfaceName, address, port, ...sums, failedByReason });
}

function figures(rule: CataloguedRule, sums: RuleSums) {
	return {
		receivedPackets: sums.receivedPackets,
		receivedBytes: sums.receivedBytes,
		forwardedPackets: sums.forwardedPackets,
		droppedPackets: named(Drop_ReasonSchema, sums.droppedPackets),
		packetsPerSecond: sums.packetsPerSecond,
		bitsPerSecond: sums.bitsPerSecond,
		outputs: rule.outputs.map((output, k) => outputStats(output, sums.outputs[k])),
	};
}

function byKey<T>(map: ReadonlyMap<string, T>): [string, T][] {
	return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
