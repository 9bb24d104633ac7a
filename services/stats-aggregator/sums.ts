import { Drop_ReasonSchema } from "@sluice/proto/gen/stats";
import type { CataloguedRule } from "./catalogue.ts";
import type { WorkerFold } from "./fold.ts";
import { isSilent, RateSum, rate, rateSeconds } from "./rates.ts";
import type { OutputSample, RuleSample } from "./sample.ts";
import { plus } from "./saturating.ts";

export interface OutputSums {
	eligiblePackets: bigint;
	sentPackets: bigint;
	sentBytes: bigint;
	failedPackets: bigint;
	limitedPackets: bigint;
	/** Indexed by Failure.Reason. */
	readonly failedByReason: bigint[];
	unreachableAnswers: bigint;
	readonly packetsPerSecond: RateSum;
}

export interface RuleSums {
	receivedPackets: bigint;
	receivedBytes: bigint;
	forwardedPackets: bigint;
	/** Indexed by Drop.Reason. */
	readonly droppedPackets: bigint[];
	readonly packetsPerSecond: RateSum;
	readonly bitsPerSecond: RateSum;
	/** In the order of the rule's outputs. */
	readonly outputs: OutputSums[];
	/** Since the last datagram; undefined: there was none. */
	silentMs: number | undefined;
}

/** Undefined: none of these workers knows the rule. */
export function workersSums(
	workers: Iterable<WorkerFold>,
	rule: CataloguedRule,
	nowMs: number,
): RuleSums | undefined {
	let sums: RuleSums | undefined;
	for (const worker of workers) {
		const sample = worker.latest?.rules.get(rule.uid);
		if (sample === undefined) continue;
		sums ??= emptySums(rule);
		addSample(sums, rule, sample);
		sums.silentMs = shorter(sums.silentMs, silentMs(worker, sample, nowMs));
		addRates(sums, rule, worker, sample, nowMs);
	}
	return sums;
}

function addSample(sums: RuleSums, rule: CataloguedRule, sample: RuleSample): void {
	sums.receivedPackets = plus(sums.receivedPackets, sample.receivedPackets);
	sums.receivedBytes = plus(sums.receivedBytes, sample.receivedBytes);
	sums.forwardedPackets = plus(sums.forwardedPackets, sample.forwardedPackets);
	addEach(sums.droppedPackets, sample.droppedPackets);
	for (const [k, output] of rule.outputs.entries()) {
		const into = sums.outputs[k];
		const counted = sample.outputs.get(output.key);
		if (into !== undefined && counted !== undefined) addOutput(into, counted);
	}
}

function addRates(
	sums: RuleSums,
	rule: CataloguedRule,
	worker: WorkerFold,
	sample: RuleSample,
	nowMs: number,
): void {
	if (isSilent(worker, nowMs)) {
		for (const sum of [sums, ...sums.outputs]) sum.packetsPerSecond.addSilent();
		sums.bitsPerSecond.addSilent();
		return;
	}
	const seconds = rateSeconds(worker);
	const before = worker.baseline?.rules.get(rule.uid);
	const bytes = rate(sample.receivedBytes, before?.receivedBytes, seconds);
	sums.packetsPerSecond.add(rate(sample.receivedPackets, before?.receivedPackets, seconds));
	sums.bitsPerSecond.add(bytes === undefined ? undefined : 8 * bytes);
	for (const [k, { key }] of rule.outputs.entries()) {
		const counted = sample.outputs.get(key);
		if (counted === undefined) continue;
		const sent = rate(counted.sentPackets, before?.outputs.get(key)?.sentPackets, seconds);
		sums.outputs[k]?.packetsPerSecond.add(sent);
	}
}

/** By the worker's clock up to the reading, by ours since then: no clock is compared with another. */
function silentMs({ latest }: WorkerFold, sample: RuleSample, nowMs: number): number | undefined {
	if (latest === undefined || sample.lastReceivedUnixMs === 0n) return undefined;
	const beforeReading = Number(latest.atUnixMs - sample.lastReceivedUnixMs);
	return Math.max(0, beforeReading) + Math.max(0, nowMs - latest.heardAtMs);
}

function shorter(a: number | undefined, b: number | undefined): number | undefined {
	return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

/** What a host counted before its `up` was started anew: part of totals, and of no rate. */
export function addFormer(into: RuleSums, rule: CataloguedRule, former: RuleSample, nowMs: number): void {
	addSample(into, rule, former);
	const { lastReceivedUnixMs } = former;
	const silent = lastReceivedUnixMs === 0n ? undefined : Math.max(0, nowMs - Number(lastReceivedUnixMs));
	into.silentMs = shorter(into.silentMs, silent);
}

export function addSums(into: RuleSums, from: RuleSums): void {
	into.receivedPackets = plus(into.receivedPackets, from.receivedPackets);
	into.receivedBytes = plus(into.receivedBytes, from.receivedBytes);
	into.forwardedPackets = plus(into.forwardedPackets, from.forwardedPackets);
	addEach(into.droppedPackets, from.droppedPackets);
	into.packetsPerSecond.addAll(from.packetsPerSecond);
	into.bitsPerSecond.addAll(from.bitsPerSecond);
	into.silentMs = shorter(into.silentMs, from.silentMs);
	for (const [k, output] of from.outputs.entries()) {
		const sum = into.outputs[k];
		if (sum === undefined) continue;
		addOutput(sum, output);
		sum.packetsPerSecond.addAll(output.packetsPerSecond);
	}
}

function addOutput(into: OutputSums, from: OutputSample): void {
	into.eligiblePackets = plus(into.eligiblePackets, from.eligiblePackets);
	into.sentPackets = plus(into.sentPackets, from.sentPackets);
	into.sentBytes = plus(into.sentBytes, from.sentBytes);
	into.failedPackets = plus(into.failedPackets, from.failedPackets);
	into.limitedPackets = plus(into.limitedPackets, from.limitedPackets);
	addEach(into.failedByReason, from.failedByReason);
	into.unreachableAnswers = plus(into.unreachableAnswers, from.unreachableAnswers);
}

export function addEach(into: bigint[], from: readonly bigint[]): void {
	for (const [k, value] of from.entries()) {
		into[k] = plus(into[k] ?? 0n, value);
	}
}

export function emptySums(rule: CataloguedRule): RuleSums {
	return {
		receivedPackets: 0n,
		receivedBytes: 0n,
		forwardedPackets: 0n,
		droppedPackets: zeroDrops(),
		packetsPerSecond: new RateSum(),
		bitsPerSecond: new RateSum(),
		outputs: rule.outputs.map(() => ({
			eligiblePackets: 0n,
			sentPackets: 0n,
			sentBytes: 0n,
			failedPackets: 0n,
			limitedPackets: 0n,
			failedByReason: [],
			unreachableAnswers: 0n,
			packetsPerSecond: new RateSum(),
		})),
		silentMs: undefined,
	};
}

export function zeroDrops(): bigint[] {
	return Drop_ReasonSchema.values.map(() => 0n);
}
