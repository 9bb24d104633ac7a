import { create, type DescEnum } from "@bufbuild/protobuf";
import {
	Drop_ReasonSchema,
	Failure_ReasonSchema,
	type InterfaceStats,
	InterfaceStatsSchema,
	type OutputStats,
	OutputStatsSchema,
	RuleFormerStatsSchema,
	type RuleHostStats,
	RuleHostStatsSchema,
	type RuleStats,
	RuleStatsSchema,
	type RuleWorkerStats,
	RuleWorkerStatsSchema,
	type WorkerStats,
	WorkerStatsSchema,
} from "@sluice/proto/gen/stats";
import type { CataloguedOutput, CataloguedRule } from "./catalogue.ts";
import type { Fold, HostFold, WorkerFold } from "./fold.ts";
import { countedBefore, keptOf } from "./kept.ts";
import { SILENT_WORKER_MS } from "./rates.ts";
import { plus } from "./saturating.ts";
import {
	addEach,
	addFormer,
	addSums,
	emptySums,
	type OutputSums,
	type RuleSums,
	workersSums,
	zeroDrops,
} from "./sums.ts";

/** What the cluster counted for one rule, at `nowMs` of the aggregator's clock. */
export function ruleStats(fold: Fold, rule: CataloguedRule, nowMs: number, perWorker = false): RuleStats {
	const total = emptySums(rule);
	let former: RuleSums | undefined;
	const hosts: RuleHostStats[] = [];
	for (const [host, hostFold] of byKey(fold.hosts)) {
		const kept = keptOf(hostFold, rule.uid);
		for (const counted of countedBefore(kept, rule.uid)) {
			former ??= emptySums(rule);
			addFormer(former, rule, counted, nowMs);
		}
		const live = workersSums(hostFold.workers.values(), rule, nowMs);
		// Of a host that is gone nobody may know more than what was kept.
		const speaking =
			live === undefined && kept?.last !== undefined ? [kept.last] : [...hostFold.workers.values()];
		const sums = live ?? workersSums(speaking, rule, nowMs);
		if (sums === undefined) {
			continue;
		}
		addSums(total, sums);
		hosts.push(
			create(RuleHostStatsSchema, {
				host,
				incarnation: hostFold.incarnation,
				...figures(rule, sums),
				...age(speaking, nowMs),
				workers: perWorker ? ruleWorkerStats(hostFold, rule, nowMs) : [],
			}),
		);
	}
	if (former !== undefined) addSums(total, former);
	const formerStats =
		former === undefined || former.receivedPackets === 0n
			? {}
			: { former: create(RuleFormerStatsSchema, counts(rule, former)) };
	const silent = total.silentMs === undefined ? {} : { silentSeconds: total.silentMs / 1000 };
	return create(RuleStatsSchema, {
		name: rule.name,
		uid: rule.uid,
		hosts,
		...figures(rule, total),
		...silent,
		...formerStats,
	});
}

function ruleWorkerStats(host: HostFold, rule: CataloguedRule, nowMs: number): RuleWorkerStats[] {
	return bySlot(host).flatMap(([worker, fold]) => {
		const sums = workersSums([fold], rule, nowMs);
		if (sums === undefined) return [];
		return [create(RuleWorkerStatsSchema, { worker, ...figures(rule, sums), ...age([fold], nowMs) })];
	});
}

/** Every input interface that some worker reports, by host and name. */
export function interfaceStats(fold: Fold, nowMs: number): InterfaceStats[] {
	const all: InterfaceStats[] = [];
	for (const [host, hostFold] of byKey(fold.hosts)) {
		const sums = new Map<string, { stats: InterfaceStats; dropped: bigint[] }>();
		for (const { latest } of hostFold.workers.values()) {
			for (const [name, sample] of latest?.interfaces ?? []) {
				const sum = sums.get(name) ?? {
					stats: create(InterfaceStatsSchema, {
						host,
						interface: name,
						...age(hostFold.workers.values(), nowMs),
					}),
					dropped: zeroDrops(),
				};
				sum.stats.capturedFrames = plus(sum.stats.capturedFrames, sample.capturedFrames);
				sum.stats.kernelDroppedFrames = plus(sum.stats.kernelDroppedFrames, sample.kernelDroppedFrames);
				sum.stats.unmatchedPackets = plus(sum.stats.unmatchedPackets, sample.unmatchedPackets);
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
	return byKey(fold.hosts).flatMap(([host, hostFold]) =>
		bySlot(hostFold).flatMap(([worker, workerFold]) => {
			const { latest } = workerFold;
			if (latest === undefined) return [];
			const gauges = latest.gauges === undefined ? {} : { gauges: latest.gauges };
			return [create(WorkerStatsSchema, { host, worker, ...age([workerFold], nowMs), ...gauges })];
		}),
	);
}

/** Since any of these workers was heard, by our own clock. */
function age(workers: Iterable<WorkerFold>, nowMs: number): { ageSeconds: number; stale: boolean } {
	let heardAtMs = Number.NEGATIVE_INFINITY;
	for (const { latest } of workers) heardAtMs = Math.max(heardAtMs, latest?.heardAtMs ?? heardAtMs);
	const ageMs = Math.max(0, nowMs - heardAtMs);
	return { ageSeconds: ageMs / 1000, stale: ageMs > SILENT_WORKER_MS };
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

function outputStats(output: CataloguedOutput, sums: OutputSums): OutputStats {
	const { interface: interfaceName, address, port } = output;
	const { packetsPerSecond, ...counted } = sums;
	return create(OutputStatsSchema, {
		interface: interfaceName,
		address,
		port,
		...counted,
		failedByReason: named(Failure_ReasonSchema, sums.failedByReason),
		...known("packetsPerSecond", packetsPerSecond.value),
	});
}

function figures(rule: CataloguedRule, sums: RuleSums) {
	return {
		...counts(rule, sums),
		...known("packetsPerSecond", sums.packetsPerSecond.value),
		...known("bitsPerSecond", sums.bitsPerSecond.value),
	};
}

function counts(rule: CataloguedRule, sums: RuleSums) {
	return {
		receivedPackets: sums.receivedPackets,
		receivedBytes: sums.receivedBytes,
		forwardedPackets: sums.forwardedPackets,
		droppedPackets: named(Drop_ReasonSchema, sums.droppedPackets),
		outputs: rule.outputs.flatMap((output, k) => {
			const sum = sums.outputs[k];
			return sum === undefined ? [] : [outputStats(output, sum)];
		}),
	};
}

function known<Name extends string>(name: Name, value: number | undefined): { [key in Name]?: number } {
	return value === undefined ? {} : ({ [name]: value } as { [key in Name]?: number });
}

function bySlot({ workers }: HostFold): [number, WorkerFold][] {
	return [...workers].sort(([a], [b]) => a - b);
}

function byKey<T>(map: ReadonlyMap<string, T>): [string, T][] {
	return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
