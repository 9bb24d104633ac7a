import { describe, expect, test } from "bun:test";
import { fromBinary } from "@bufbuild/protobuf";
import { type Drop_Reason, KeptFiguresSchema, type RuleStats } from "@sluice/proto/gen/stats";
import { emptyFold, type Fold, foldEnded, foldKept } from "./fold.ts";
import { type Kept, keepLast, takeLost } from "./kept.ts";
import { ruleStats } from "./query.ts";
import { decodeKept, encodeKept } from "./stored-figures.ts";
import { foldReading, R1, R2, rule, T0, uid } from "./testing/counters.ts";

const video = rule("video", 1, [R1, R2]);
const SHORT_FRAME = 0 as Drop_Reason;
const all = () => true;
/** All uids of the tests begin with the same byte. */
const PART = 0;

/** So much came to a worker of relay-b, a tenth of it in short frames, and output R2 failed on half of the rest. */
function counted(fold: Fold, incarnation: bigint, received: bigint, worker = 0, sequence = 1n): void {
	const dropped = received / 10n;
	const half = (received - dropped) / 2n;
	const outputs = [
		{ output: R1, sent: received - dropped },
		{ output: R2, sent: received - dropped - half, failed: { 2: half } },
	];
	const rules = [{ uid: uid(1), received, dropped: { [SHORT_FRAME]: dropped }, lastReceivedMs: T0, outputs }];
	foldReading(fold, { host: "relay-b", incarnation, sequence, worker, rules });
}

/** The same, which the host says of a run that ended. */
function told(folds: readonly Fold[], incarnation: bigint, received: bigint): void {
	const said = emptyFold();
	counted(said, incarnation, received);
	const rows = [...(said.hosts.get("relay-b")?.workers.values() ?? [])][0]?.latest?.rules ?? new Map();
	for (const fold of folds) foldEnded(fold, "relay-b", PART, { incarnation, rows }, T0);
}

function kept(fold: Fold): Kept {
	const value = fold.hosts.get("relay-b")?.kept.get(PART);
	if (value === undefined) throw new Error("nothing is kept");
	return value;
}

/** What one aggregator has to write is stored, and another reads it. */
function passOn(from: Fold, to: Fold, revision: bigint, nowMs = T0): void {
	const { incarnation = 0n } = from.hosts.get("relay-b") ?? {};
	const bytes = encodeKept(incarnation, kept(from), all, nowMs);
	foldKept(to, "relay-b", PART, decodeKept(fromBinary(KeptFiguresSchema, bytes), revision, nowMs), all);
}

function assertAdds(
	stats: Pick<RuleStats, "receivedPackets" | "forwardedPackets" | "droppedPackets" | "outputs">,
): void {
	const sum = (counts: Record<string, bigint>) => Object.values(counts).reduce((a, b) => a + b, 0n);
	expect(stats.receivedPackets).toBe(stats.forwardedPackets + sum(stats.droppedPackets));
	for (const output of stats.outputs) {
		expect(output.eligiblePackets).toBe(output.sentPackets + output.failedPackets + output.limitedPackets);
		expect(output.failedPackets).toBe(sum(output.failedByReason));
	}
}

describe("what hosts counted before", () => {
	test("a host that begins anew, several times, is zero by itself and goes on in the totals, in all figures", () => {
		const fold = emptyFold();
		counted(fold, 9n, 100n);
		counted(fold, 9n, 50n, 1);
		counted(fold, 10n, 20n);
		counted(fold, 11n, 10n);
		const stats = ruleStats(fold, video, T0 + 500);
		expect([stats.receivedPackets, stats.receivedBytes, stats.hosts[0]?.receivedPackets]).toEqual([
			...[180n, 180_000n, 10n],
		]);
		expect(stats.droppedPackets).toEqual({ SHORT_FRAME: 18n });
		expect(stats.outputs.map(({ sentPackets }) => sentPackets)).toEqual([162n, 82n]);
		assertAdds(stats);
		for (const host of stats.hosts) assertAdds(host);
	});

	test("no rate comes from it; how long a rule is silent does", () => {
		const fold = emptyFold();
		counted(fold, 9n, 100n);
		foldReading(fold, {
			host: "relay-b",
			incarnation: 10n,
			atMs: T0 + 1000,
			rules: [{ uid: uid(1), received: 0n }],
		});
		foldReading(fold, {
			host: "relay-b",
			incarnation: 10n,
			sequence: 2n,
			atMs: T0 + 2000,
			rules: [{ uid: uid(1), received: 0n }],
		});
		const stats = ruleStats(fold, video, T0 + 4000);
		expect([stats.receivedPackets, stats.packetsPerSecond, stats.silentSeconds]).toEqual([100n, 0, 4]);
	});

	test("while the first whole sample of the new run is on its way, totals are what they were", () => {
		const fold = emptyFold();
		counted(fold, 9n, 100n);
		foldReading(fold, { host: "relay-b", incarnation: 10n, chunk: 0, chunks: 2 });
		expect(ruleStats(fold, video, T0).receivedPackets).toBe(100n);
	});

	test("two that saw different ends agree on the later one, whoever writes first", () => {
		const [first, second] = [emptyFold(), emptyFold()];
		counted(first, 9n, 100n);
		counted(second, 9n, 90n);
		for (const fold of [first, second]) counted(fold, 10n, 5n);
		expect(kept(second).unwritten).toBeTrue();
		passOn(second, first, 3n);
		expect(kept(first)).toMatchObject({ unwritten: true, revision: 3n });
		passOn(first, second, 4n);
		passOn(first, first, 4n);
		for (const fold of [first, second]) expect(kept(fold)).toMatchObject({ unwritten: false, revision: 4n });
		for (const fold of [first, second]) expect(ruleStats(fold, video, T0).receivedPackets).toBe(105n);
	});

	test("one that hears of the new run from the other first counts nothing twice", () => {
		const [first, second] = [emptyFold(), emptyFold()];
		for (const fold of [first, second]) counted(fold, 9n, 100n);
		counted(first, 10n, 5n);
		passOn(first, second, 3n);
		expect(ruleStats(second, video, T0).receivedPackets).toBe(100n);
		counted(second, 9n, 100n, 0, 2n);
		expect(ruleStats(second, video, T0).receivedPackets).toBe(100n);
		counted(second, 10n, 5n);
		expect(ruleStats(second, video, T0).receivedPackets).toBe(105n);
	});

	test("a host that is gone is known to one that never heard it, stale and with its age, and comes back", () => {
		const [first, later] = [emptyFold(), emptyFold()];
		counted(first, 9n, 100n);
		counted(first, 10n, 20n);
		const host = first.hosts.get("relay-b");
		if (host !== undefined) keepLast(host, T0, all);
		passOn(first, later, 3n, T0 + 5000);
		const stats = ruleStats(later, video, T0 + 60_000, true);
		expect(stats.receivedPackets).toBe(120n);
		expect(stats.packetsPerSecond).toBeUndefined();
		expect(stats.hosts).toMatchObject([
			{ host: "relay-b", incarnation: 10n, receivedPackets: 20n, ageSeconds: 60, stale: true, workers: [] },
		]);
		assertAdds(stats);
		// The same run, which was only cut off.
		counted(later, 10n, 30n);
		expect(ruleStats(later, video, T0).receivedPackets).toBe(130n);
		counted(later, 11n, 1n);
		expect(ruleStats(later, video, T0).receivedPackets).toBe(131n);
		expect(kept(later)).toMatchObject({ unwritten: true, revision: 3n });
	});

	test("what the host says of ended runs comes late and again, from runs that nobody heard too, and counts once", () => {
		const [first, later] = [emptyFold(), emptyFold()];
		const says = (incarnation: bigint, received: bigint, folds = [first, later]) =>
			told(folds, incarnation, received);
		const received = () => [first, later].map((fold) => ruleStats(fold, video, T0).receivedPackets);
		counted(first, 9n, 100n);
		counted(first, 11n, 5n);
		says(9n, 140n, [first]);
		passOn(first, later, 1n);
		counted(later, 11n, 5n);
		expect(received()).toEqual([145n, 145n]);
		says(9n, 140n);
		says(9n, 120n);
		expect(received()).toEqual([145n, 145n]);
		says(10n, 30n);
		says(9n, 140n);
		says(10n, 30n);
		expect(received()).toEqual([175n, 175n]);
		// It may come before the host is heard again.
		says(11n, 8n);
		says(12n, 1n);
		for (const fold of [first, later]) counted(fold, 13n, 2n);
		says(11n, 8n);
		expect(received()).toEqual([181n, 181n]);
		assertAdds(ruleStats(first, video, T0));
		passOn(first, later, 2n);
		expect(received()).toEqual([181n, 181n]);
		says(12n, 1n);
		expect(kept(later).unwritten).toBeFalse();
	});

	test("a run that nobody heard counts once, though it is told when later ones were heard", () => {
		const [first, second, third] = [emptyFold(), emptyFold(), emptyFold()];
		const received = (...folds: Fold[]) => folds.map((fold) => ruleStats(fold, video, T0).receivedPackets);
		for (const fold of [first, second]) for (const run of [9n, 11n, 12n, 13n]) counted(fold, run, 100n);
		told([first], 10n, 30n);
		passOn(first, second, 1n);
		passOn(first, third, 1n);
		for (const run of [9n, 10n, 11n]) told([first, second, third], run, run === 10n ? 30n : 100n);
		expect([first, second, third].map((fold) => kept(fold).unwritten)).toEqual([true, false, false]);
		counted(third, 13n, 100n);
		expect(received(first, second, third)).toEqual([430n, 430n, 430n]);
		assertAdds(ruleStats(third, video, T0));
		// Of more runs than are remembered nobody can tell which were counted.
		for (let run = 14n; run < 40n; run += 1n) counted(third, run, 1n);
		passOn(third, third, 2n);
		for (const run of [8n, 9n, 10n, 37n, 38n]) told([third], run, run < 37n ? 30n : 1n);
		expect(received(third)).toEqual([456n]);
	});

	test("of two readings the later one holds, though it had received no more", () => {
		const fold = emptyFold();
		counted(fold, 9n, 100n);
		const [row] = fold.hosts.get("relay-b")?.workers.get(0)?.latest?.rules.values() ?? [];
		if (row === undefined) throw new Error("no row");
		counted(fold, 10n, 0n);
		const rows = new Map([[uid(1), { ...row, forwardedPackets: row.forwardedPackets + 1n }]]);
		foldEnded(fold, "relay-b", PART, { incarnation: 9n, rows }, T0);
		expect(ruleStats(fold, video, T0).forwardedPackets).toBe(row.forwardedPackets + 1n);
	});

	test("one that starts when the gone host has begun anew knows what was kept", () => {
		const [first, later] = [emptyFold(), emptyFold()];
		counted(first, 9n, 100n);
		const host = first.hosts.get("relay-b");
		if (host !== undefined) keepLast(host, T0, all);
		counted(later, 10n, 5n);
		passOn(first, later, 3n);
		expect(ruleStats(later, video, T0).receivedPackets).toBe(105n);
		expect(kept(later).unwritten).toBeTrue();
	});

	test("last words are written once, and again only when there was more", () => {
		const fold = emptyFold();
		counted(fold, 9n, 100n);
		const host = fold.hosts.get("relay-b");
		if (host === undefined) throw new Error("no host");
		keepLast(host, T0, all);
		passOn(fold, fold, 1n);
		keepLast(host, T0, all);
		expect(kept(fold).unwritten).toBeFalse();
		keepLast(host, T0 + 1000, () => false);
		expect(kept(fold).unwritten).toBeFalse();
		counted(fold, 9n, 101n, 0, 2n);
		keepLast(host, T0 + 1000, all);
		expect(kept(fold)).toMatchObject({ unwritten: true, revision: 1n });
	});

	test("a bucket that was lost gets it again", () => {
		const fold = emptyFold();
		counted(fold, 9n, 100n);
		counted(fold, 10n, 5n);
		passOn(fold, fold, 7n);
		const host = fold.hosts.get("relay-b");
		if (host !== undefined) takeLost(host, PART, 0n, all);
		expect(kept(fold)).toMatchObject({ unwritten: true, revision: 0n });
		expect(ruleStats(fold, video, T0).receivedPackets).toBe(105n);
	});

	test("the host that begins anew with the aggregator's own up does so in the totals", () => {
		const fold = emptyFold("relay-b");
		counted(fold, 9n, 100n);
		counted(fold, 10n, 5n);
		expect(ruleStats(fold, video, T0).receivedPackets).toBe(5n);
		expect(fold.hosts.get("relay-b")?.kept.size).toBe(0);
	});

	test("rules that are no longer there are not written; 10,000 with 64 outputs each fit", () => {
		const fold = emptyFold();
		counted(fold, 9n, 100n);
		counted(fold, 10n, 5n);
		const nothing = emptyFold();
		counted(nothing, 9n, 100n);
		const host = nothing.hosts.get("relay-b");
		// Else it would be written each second: what comes back lacks it.
		if (host !== undefined) keepLast(host, T0, () => false);
		expect(host?.kept.size).toBe(0);
		const empty = encodeKept(10n, kept(fold), () => false, T0);
		const { previous } = fromBinary(KeptFiguresSchema, empty);
		expect([previous?.incarnation, previous?.ruleUids.length]).toEqual([9n, 0]);
		const [row] = kept(fold).previous?.rows.values() ?? [];
		const [output] = row?.outputs.values() ?? [];
		if (row === undefined || output === undefined) throw new Error("no row");
		const outputs = new Map(Array.from({ length: 64 }, (_, key) => [BigInt(key) << 50n, output]));
		const rules = Array.from(
			{ length: Math.ceil(10_000 / 64) },
			(_, k) => [uid(k), { ...row, outputs }] as const,
		);
		const full = { ...kept(fold), former: new Map(rules) };
		expect(3 * encodeKept(10n, full, all, T0).length).toBeLessThan(2_000_000);
	});
});
