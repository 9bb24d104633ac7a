import { ENDED_RUNS, keptPart } from "@sluice/proto/subjects";
import type { HostFold, WorkerFold } from "./fold.ts";
import type { OutputSample, RuleSample, Sample } from "./sample.ts";
import { plus } from "./saturating.ts";
import { addEach } from "./sums.ts";

/** By rule uid. */
export type Rows = ReadonlyMap<string, RuleSample>;

/** Whether there is a rule of this uid. */
export type Wanted = (uid: string) => boolean;

/** What a run of a host's `up` counted. */
export interface Run {
	readonly incarnation: bigint;
	readonly rows: Rows;
}

interface Before {
	/** Over all runs before `previous` that are known of. */
	readonly former: Rows;
	/** The newest of those, in order, at most REMEMBERED_RUNS: what the host says of them is in `former` already. */
	readonly formerRuns: readonly bigint[];
	/** By itself, since the host may know more of it than anybody heard. */
	readonly previous: Run | undefined;
}

/** What was counted of some rules of a host, and nobody publishes any more: by the runs before this one, and … */
export interface Kept extends Before {
	/** What this one said last, as if one worker had said it. */
	readonly last: WorkerFold | undefined;
	/** Of the stored value that this replaces; 0: there is none. */
	readonly revision: bigint;
	readonly unwritten: boolean;
}

/** What one of the aggregators wrote. */
export interface StoredFigures extends Omit<Kept, "unwritten"> {
	readonly incarnation: bigint;
}

/** More than a host remembers: those that NATS heard until they were killed are in no file of the host's. */
const REMEMBERED_RUNS = 2 * ENDED_RUNS;

const NO_ROWS: Rows = new Map();
const NOTHING: Kept = {
	former: NO_ROWS,
	formerRuns: [],
	previous: undefined,
	last: undefined,
	revision: 0n,
	unwritten: false,
};

export function keptOf({ kept }: HostFold, uid: string): Kept | undefined {
	return kept.size === 0 ? undefined : kept.get(keptPart(uid));
}

/** What the runs before this one counted of a rule: parts of a sum. */
export function countedBefore(kept: Kept | undefined, uid: string): RuleSample[] {
	const rows = [kept?.former.get(uid), kept?.previous?.rows.get(uid)];
	return rows.filter((row) => row !== undefined);
}

/** What the host of another run begins with: all that `ended` has counted. */
export function keptAfter(ended: HostFold): Map<number, Kept> {
	const parts = byPart(rowsOf(ended.workers.values()));
	const all = new Map<number, Kept>();
	for (const part of new Set([...ended.kept.keys(), ...parts.keys()])) {
		const known = ended.kept.get(part) ?? NOTHING;
		const rows = laterOf(rowsIn(known.last), parts.get(part) ?? NO_ROWS);
		all.set(part, {
			...followedBy(known, { incarnation: ended.incarnation, rows }),
			last: undefined,
			revision: known.revision,
			unwritten: known.unwritten || rows.size > 0,
		});
	}
	return all;
}

function followedBy(before: Before, run: Run): Before {
	const { previous } = before;
	const counted = run.rows.size > 0;
	const { former, formerRuns } = counted && previous !== undefined ? withFormer(before, previous) : before;
	return { former, formerRuns, previous: counted ? run : previous };
}

function withFormer({ former, formerRuns, previous }: Before, { incarnation, rows }: Run): Before {
	const runs = [...formerRuns, incarnation].toSorted((a, b) => (a < b ? -1 : 1));
	return { former: joined(former, rows), formerRuns: runs.slice(-REMEMBERED_RUNS), previous };
}

/** Where as many are remembered as can be, of older ones nobody can tell: they are taken for summed. */
function isSummed({ formerRuns }: Before, incarnation: bigint): boolean {
	const [oldest] = formerRuns;
	const tooOld = formerRuns.length === REMEMBERED_RUNS && oldest !== undefined && incarnation < oldest;
	return tooOld || formerRuns.includes(incarnation);
}

/**
 * What the host says itself of a run that ended, this one or an older one. It may come late and more than once, and be
 * less than what was heard, or more.
 */
export function takeEnded(host: HostFold, part: number, run: Run, heardAtMs: number): void {
	const { incarnation, rows } = run;
	if (incarnation !== host.incarnation) {
		takeFormer(host, part, run);
		return;
	}
	const known = host.kept.get(part) ?? NOTHING;
	const before = rowsIn(known.last);
	const rules = laterOf(before, rows);
	if (areSame(rules, before)) return;
	host.kept.set(part, { ...known, last: lastOf(incarnation, rules, heardAtMs), unwritten: true });
}

/** Some reading of a run before this one. */
function takeFormer(host: HostFold, part: number, run: Run): void {
	const known = host.kept.get(part) ?? NOTHING;
	const { previous } = known;
	if (run.rows.size === 0) return;
	if (previous !== undefined && run.incarnation < previous.incarnation) {
		if (isSummed(known, run.incarnation)) return;
		host.kept.set(part, { ...known, ...withFormer(known, run), unwritten: true });
	} else if (previous?.incarnation !== run.incarnation) {
		host.kept.set(part, { ...known, ...followedBy(known, run), unwritten: true });
	} else {
		const rows = laterOf(previous.rows, run.rows);
		if (areSame(rows, previous.rows)) return;
		host.kept.set(part, { ...known, previous: { ...previous, rows }, unwritten: true });
	}
}

function areSame(rows: Rows, before: Rows): boolean {
	return [...rows].every(([uid, row]) => before.get(uid) === row);
}

/**
 * `host` is of this run or a newer one. Of two aggregators' values the stored one holds, so that they agree; but for the run
 * before, of which its writer may have heard less, if it was cut off. Of rules that are gone it lacks what we still have.
 */
export function takeStored(host: HostFold, part: number, stored: StoredFigures, wanted: Wanted): void {
	const { incarnation, last, revision } = stored;
	const ours = host.kept.get(part);
	if (incarnation === host.incarnation) {
		host.kept.set(part, { ...stored, unwritten: false });
		if (ours?.previous === undefined) return;
		const rows = new Map([...ours.previous.rows].filter(([uid]) => wanted(uid)));
		takeFormer(host, part, { ...ours.previous, rows });
		return;
	}
	const run = { incarnation, rows: rowsIn(last) };
	if (ours !== undefined && runsOf(stored).every((each) => runsOf(ours).includes(each))) {
		host.kept.set(part, { ...ours, revision, unwritten: true });
	} else {
		const unwritten = ours !== undefined || last !== undefined;
		host.kept.set(part, { ...followedBy(stored, run), last: ours?.last, revision, unwritten });
	}
	for (const each of [ours?.previous, stored.previous, run])
		if (each !== undefined) takeFormer(host, part, each);
}

/** Of which it is known what they counted. */
function runsOf({ formerRuns, previous }: Before): bigint[] {
	return previous === undefined ? [...formerRuns] : [...formerRuns, previous.incarnation];
}

/** The bucket lacks it. `revision`: of its removal; 0: the bucket is another one than before, or was emptied. */
export function takeLost({ kept }: HostFold, part: number, revision: bigint, wanted: Wanted): void {
	const known = kept.get(part);
	if (known === undefined) return;
	if (isDead(known, wanted)) kept.delete(part);
	else kept.set(part, { ...known, revision, unwritten: true });
}

/** Nothing in it was counted for a rule that there is. */
export function isDead({ former, previous, last }: Kept, wanted: Wanted): boolean {
	return ![former, previous?.rows ?? NO_ROWS, rowsIn(last)].some((rows) => rows.keys().some(wanted));
}

/** The host is gone: what its workers said last is kept. */
export function keepLast(host: HostFold, heardAtMs: number, wanted: Wanted): void {
	const { incarnation, kept, workers } = host;
	const heard = new Map([...rowsOf(workers.values())].filter(([uid]) => wanted(uid)));
	for (const [part, rows] of byPart(heard)) {
		const known = kept.get(part);
		const before = rowsIn(known?.last);
		const rules = laterOf(before, rows);
		if (known !== undefined && areSame(rules, before)) continue;
		const last = lastOf(incarnation, rules, heardAtMs);
		kept.set(part, { ...(known ?? NOTHING), last, unwritten: true });
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
export function byOurClock(
	{ atUnixMs, heardAtMs }: Pick<Sample, "atUnixMs" | "heardAtMs">,
	{ lastReceivedUnixMs: last }: RuleSample,
): bigint {
	if (last === 0n) return 0n;
	const at = BigInt(Math.round(heardAtMs)) - (atUnixMs > last ? atUnixMs - last : 0n);
	return at > 0n ? at : 0n;
}

export function byPart(rows: Rows): Map<number, Map<string, RuleSample>> {
	const parts = new Map<number, Map<string, RuleSample>>();
	for (const [uid, row] of rows) {
		const part = keptPart(uid);
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
		if (other === undefined || seen(other) < seen(row)) rows.set(uid, row);
	}
	return rows;
}

/** Grows with whatever is counted: in the midst of a batch datagrams were received that are not sent yet. */
function seen({ receivedPackets, forwardedPackets, outputs }: RuleSample): bigint {
	let sum = receivedPackets + forwardedPackets;
	for (const output of outputs.values())
		sum += output.sentPackets + output.failedPackets + output.limitedPackets + output.unreachableAnswers;
	return sum;
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
