import { KEPT_PARTS } from "@sluice/proto/subjects";
import type { HostFold, WorkerFold } from "./fold.ts";
import type { OutputSample, RuleSample, Sample } from "./sample.ts";
import { plus } from "./saturating.ts";
import { addEach } from "./sums.ts";

/** By rule uid. */
export type Rows = ReadonlyMap<string, RuleSample>;

/** Whether there is a rule of this uid. */
export type Wanted = (uid: string) => boolean;

/** What was counted of some rules of a host, and nobody publishes any more. */
export interface Kept {
	/** Over all runs of its `up` before this one. */
	readonly former: Rows;
	/** What this one said last, as if one worker had said it. */
	readonly last: WorkerFold | undefined;
	/** Of the stored value that this replaces; 0: there is none. */
	readonly revision: bigint;
	readonly unwritten: boolean;
}

/** What one of the aggregators wrote. */
export interface StoredFigures extends Pick<Kept, "former" | "last" | "revision"> {
	readonly incarnation: bigint;
}

const NO_ROWS: Rows = new Map();

export function keptOf({ kept }: HostFold, uid: string): Kept | undefined {
	return kept.size === 0 ? undefined : kept.get(partOf(uid));
}

/** Uids are random. */
function partOf(uid: string): number {
	return Number.parseInt(uid.slice(0, 2), 16) % KEPT_PARTS;
}

/** What the host of another run begins with: all that `ended` has counted. */
export function keptAfter(ended: HostFold): Map<number, Kept> {
	const parts = byPart(rowsOf(ended.workers.values()));
	const all = new Map<number, Kept>();
	for (const part of new Set([...ended.kept.keys(), ...parts.keys()])) {
		const before = ended.kept.get(part);
		const counted = laterOf(rowsIn(before?.last), parts.get(part) ?? NO_ROWS);
		all.set(part, {
			former: joined(before?.former ?? NO_ROWS, counted),
			last: undefined,
			revision: before?.revision ?? 0n,
			unwritten: before?.unwritten === true || counted.size > 0,
		});
	}
	return all;
}

/** `host` is of this run or a newer one. Of two aggregators' values the stored one holds, so that they agree. */
export function takeStored(host: HostFold, part: number, stored: StoredFigures): void {
	const { incarnation, former, last, revision } = stored;
	if (incarnation === host.incarnation) {
		host.kept.set(part, { former, last, revision, unwritten: false });
		return;
	}
	const ours = host.kept.get(part);
	const kept = ours ?? { former: joined(former, rowsIn(last)), last: undefined };
	host.kept.set(part, { ...kept, revision, unwritten: ours !== undefined || last !== undefined });
}

/** The bucket is another one than before, and lacks it. */
export function takeLost({ kept }: HostFold, part: number): void {
	const known = kept.get(part);
	if (known !== undefined) kept.set(part, { ...known, revision: 0n, unwritten: true });
}

/** The host is gone: what its workers said last is kept. */
export function keepLast(host: HostFold, heardAtMs: number, wanted: Wanted): void {
	const { incarnation, kept, workers } = host;
	const heard = new Map([...rowsOf(workers.values())].filter(([uid]) => wanted(uid)));
	for (const [part, rows] of byPart(heard)) {
		const known = kept.get(part);
		const before = rowsIn(known?.last);
		const rules = laterOf(before, rows);
		if (known !== undefined && [...rules].every(([uid, row]) => before.get(uid) === row)) continue;
		kept.set(part, {
			former: known?.former ?? NO_ROWS,
			last: lastOf(incarnation, rules, heardAtMs),
			revision: known?.revision ?? 0n,
			unwritten: true,
		});
	}
}

export function lastOf(incarnation: bigint, rules: Rows, heardAtMs: number): WorkerFold {
	const latest: Sample = {
		incarnation,
		sequence: 0n,
		atUnixMs: BigInt(heardAtMs),
		heardAtMs,
		rules,
		interfaces: new Map(),
		gauges: undefined,
	};
	return { latest, baseline: undefined, pending: undefined };
}

function rowsIn(last: WorkerFold | undefined): Rows {
	return last?.latest?.rules ?? NO_ROWS;
}

/** The workers' sums, of every rule that anything was counted of. */
function rowsOf(workers: Iterable<WorkerFold>): Map<string, RuleSample> {
	const rows = new Map<string, RuleSample>();
	for (const { latest } of workers) {
		if (latest === undefined) continue;
		for (const [uid, sample] of latest.rules) {
			if (isNothing(sample)) continue;
			const row = { ...sample, lastReceivedUnixMs: byOurClock(latest, sample) };
			const sum = rows.get(uid);
			rows.set(uid, sum === undefined ? row : sumOf(sum, row));
		}
	}
	return rows;
}

function isNothing({ receivedPackets, outputs }: RuleSample): boolean {
	return (
		receivedPackets === 0n && ![...outputs.values()].some(({ unreachableAnswers: answers }) => answers > 0n)
	);
}

/** The hosts' clocks are anywhere. */
function byOurClock({ atUnixMs, heardAtMs }: Sample, { lastReceivedUnixMs: last }: RuleSample): bigint {
	if (last === 0n) return 0n;
	const at = BigInt(Math.round(heardAtMs)) - (atUnixMs > last ? atUnixMs - last : 0n);
	return at > 0n ? at : 0n;
}

function byPart(rows: Rows): Map<number, Map<string, RuleSample>> {
	const parts = new Map<number, Map<string, RuleSample>>();
	for (const [uid, row] of rows) {
		const part = partOf(uid);
		const some = parts.get(part) ?? new Map<string, RuleSample>();
		parts.set(part, some.set(uid, row));
	}
	return parts;
}

/** Two readings of one run: of each rule the one that saw more. Whole rows: their figures belong together. */
function laterOf(kept: Rows, heard: Rows): Rows {
	const rows = new Map(kept);
	for (const [uid, row] of heard) {
		const other = rows.get(uid);
		if (other === undefined || other.receivedPackets < row.receivedPackets) rows.set(uid, row);
	}
	return rows;
}

function joined(a: Rows, b: Rows): Rows {
	const rows = new Map(a);
	for (const [uid, row] of b) {
		const other = rows.get(uid);
		rows.set(uid, other === undefined ? row : sumOf(other, row));
	}
	return rows;
}

function sumOf(a: RuleSample, b: RuleSample): RuleSample {
	const outputs = new Map(a.outputs);
	for (const [key, output] of b.outputs) {
		const other = outputs.get(key);
		outputs.set(key, other === undefined ? output : outputSum(other, output));
	}
	return {
		receivedPackets: plus(a.receivedPackets, b.receivedPackets),
		receivedBytes: plus(a.receivedBytes, b.receivedBytes),
		forwardedPackets: plus(a.forwardedPackets, b.forwardedPackets),
		lastReceivedUnixMs: laterTime(a.lastReceivedUnixMs, b.lastReceivedUnixMs),
		droppedPackets: eachSum(a.droppedPackets, b.droppedPackets),
		outputs,
	};
}

function outputSum(a: OutputSample, b: OutputSample): OutputSample {
	return {
		eligiblePackets: plus(a.eligiblePackets, b.eligiblePackets),
		sentPackets: plus(a.sentPackets, b.sentPackets),
		sentBytes: plus(a.sentBytes, b.sentBytes),
		failedPackets: plus(a.failedPackets, b.failedPackets),
		limitedPackets: plus(a.limitedPackets, b.limitedPackets),
		failedByReason: eachSum(a.failedByReason, b.failedByReason),
		unreachableAnswers: plus(a.unreachableAnswers, b.unreachableAnswers),
	};
}

function eachSum(a: readonly bigint[], b: readonly bigint[]): bigint[] {
	const sum = [...a];
	addEach(sum, b);
	return sum;
}

function laterTime(a: bigint, b: bigint): bigint {
	return a > b ? a : b;
}
