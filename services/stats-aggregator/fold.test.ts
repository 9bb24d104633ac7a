import { describe, expect, test } from "bun:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { RuleStatsSchema } from "@sluice/proto/gen/stats";
import { emptyFold } from "./fold.ts";
import { ruleStats } from "./query.ts";
import { foldReading, R1, R2, type Reading, rule, T0, uid } from "./testing/counters.ts";

const video = rule("video", 1);

describe("fold", () => {
	test("a worker's restart that goes on counting is one line of growth", () => {
		const fold = emptyFold();
		foldReading(fold, { sequence: 1n, atMs: T0, rules: [{ uid: uid(1), received: 100n }] });
		// The successor found counters and sequence of the slot where its predecessor left them.
		foldReading(fold, { sequence: 2n, atMs: T0 + 2000, rules: [{ uid: uid(1), received: 300n }] });
		const stats = ruleStats(fold, video, T0 + 2000);
		expect(stats.receivedPackets).toBe(300n);
		expect(stats.packetsPerSecond).toBe(100);
	});

	test("what comes twice or late changes nothing", () => {
		const fold = emptyFold();
		foldReading(fold, { sequence: 5n, atMs: T0 + 4000, rules: [{ uid: uid(1), received: 500n }] });
		expect(
			foldReading(fold, { sequence: 5n, atMs: T0 + 4000, rules: [{ uid: uid(1), received: 500n }] }),
		).toBe("stale");
		expect(
			foldReading(fold, { sequence: 4n, atMs: T0 + 3000, rules: [{ uid: uid(1), received: 400n }] }),
		).toBe("stale");
		expect(ruleStats(fold, video, T0 + 4000).receivedPackets).toBe(500n);
	});

	test("a publication that is read again much later is no other, and nobody's sign of life", () => {
		const fold = emptyFold();
		const rules = [{ uid: uid(1), received: 500n }];
		foldReading(fold, { sequence: 4n, atMs: T0, rules: [{ uid: uid(1), received: 400n }] });
		foldReading(fold, { sequence: 5n, atMs: T0 + 1000, rules });
		// nats-server's clock is ahead of ours.
		expect(foldReading(fold, { sequence: 5n, atMs: T0 + 1000, rules }, T0 + 9000)).toBe("stale");
		expect(ruleStats(fold, video, T0 + 9000).hosts[0]).toMatchObject({ stale: true, ageSeconds: 8 });
	});

	test("a newer incarnation of a host replaces all its workers, an older one is ignored", () => {
		const fold = emptyFold();
		for (const worker of [0, 1]) {
			foldReading(fold, { worker, incarnation: 9n, rules: [{ uid: uid(1), received: 50n }] });
		}
		foldReading(fold, { host: "relay-b", incarnation: 9n, rules: [{ uid: uid(1), received: 1n }] });
		// Compared as numbers: 10 is newer than 9.
		expect(foldReading(fold, { worker: 0, incarnation: 10n, rules: [{ uid: uid(1), received: 7n }] })).toBe(
			"sample",
		);
		expect(foldReading(fold, { worker: 1, incarnation: 9n, sequence: 8n, rules: [] })).toBe("stale");
		const { hosts } = ruleStats(fold, video, T0);
		expect(hosts.map(({ receivedPackets }) => receivedPackets)).toEqual([7n, 1n]);
	});

	test("a sequence and a time from the far future hide the true figures for a moment only", () => {
		const fold = emptyFold();
		const lie = { sequence: 2n ** 63n, atMs: 2 ** 52 };
		foldReading(fold, { ...lie, rules: [] }, T0);
		foldReading(fold, { ...lie, sequence: lie.sequence + 1n, chunks: 2, rules: [] }, T0);
		const truth: Reading = { rules: [{ uid: uid(1), received: 7n }] };
		expect(foldReading(fold, { ...truth, sequence: 8n, atMs: T0 + 1000 })).toBe("stale");
		expect(foldReading(fold, { ...truth, sequence: 9n, atMs: T0 + 2000 })).toBe("started-over");
		expect(foldReading(fold, { ...truth, sequence: 10n, atMs: T0 + 3000 })).toBe("sample");
		expect(ruleStats(fold, video, T0 + 3000).receivedPackets).toBe(7n);
	});

	test("figures without measure stay at the most that can be told", () => {
		const fold = emptyFold();
		const most = 2n ** 64n - 1n;
		const reading = (host: string): Reading => ({
			host,
			rules: [{ uid: uid(1), received: most, bytes: most, outputs: [{ output: R1, sent: 1n }] }],
		});
		for (const host of ["relay-a", "relay-b"]) foldReading(fold, reading(host));
		const stats = ruleStats(fold, video, T0);
		expect(fromBinary(RuleStatsSchema, toBinary(RuleStatsSchema, stats)).receivedPackets).toBe(most);
		foldReading(fold, { ...reading("relay-b"), incarnation: 2n ** 40n });
		expect(ruleStats(fold, video, T0).receivedBytes).toBe(most);
	});

	test("a slot whose sequence began anew is believed when it comes later", () => {
		const fold = emptyFold();
		foldReading(fold, { sequence: 900n, atMs: T0, rules: [{ uid: uid(1), received: 900n }] });
		const again: Reading = { sequence: 1n, rules: [{ uid: uid(1), received: 3n }] };
		expect(foldReading(fold, { ...again, atMs: T0 + 500 })).toBe("stale");
		expect(foldReading(fold, { ...again, atMs: T0 + 3000 })).toBe("started-over");
		const stats = ruleStats(fold, video, T0 + 3000);
		expect(stats.receivedPackets).toBe(3n);
		expect(stats.packetsPerSecond).toBeUndefined();
		expect(foldReading(fold, { ...again, sequence: 2n, atMs: T0 + 4000 })).toBe("sample");
	});

	test("a re-created rule starts at zero: it has another uid", () => {
		const fold = emptyFold();
		foldReading(fold, { sequence: 1n, rules: [{ uid: uid(1), received: 100n }] });
		expect(ruleStats(fold, rule("video", 2), T0).receivedPackets).toBe(0n);
		foldReading(fold, { sequence: 2n, atMs: T0 + 1000, rules: [{ uid: uid(2), received: 4n }] });
		expect(ruleStats(fold, rule("video", 2), T0 + 1000).receivedPackets).toBe(4n);
	});

	test("an output that is removed goes, one that is added starts at its own zero", () => {
		const fold = emptyFold();
		const before = [{ uid: uid(1), received: 10n, outputs: [{ output: R1, sent: 10n }] }];
		foldReading(fold, { sequence: 1n, rules: before });
		const both = rule("video", 1, [R2, R1]);
		expect(ruleStats(fold, both, T0).outputs.map(({ sentPackets }) => sentPackets)).toEqual([0n, 10n]);
		const after = [{ uid: uid(1), received: 15n, outputs: [{ output: R2, sent: 5n }] }];
		foldReading(fold, { sequence: 2n, atMs: T0 + 1000, rules: after });
		const stats = ruleStats(fold, rule("video", 1, [R2]), T0 + 1000);
		expect(stats.receivedPackets).toBe(15n);
		expect(stats.outputs.map(({ interface: name, eligiblePackets }) => [name, eligiblePackets])).toEqual([
			["r2", 5n],
		]);
	});

	test("chunks of one sequence make one sample, in any order", () => {
		const fold = emptyFold();
		const chunk = (index: number): Reading => ({
			chunk: index,
			chunks: 3,
			rules: [{ uid: uid(index + 1), received: BigInt(index + 1) }],
		});
		expect([2, 0].map((index) => foldReading(fold, chunk(index)))).toEqual(["pending", "pending"]);
		expect(ruleStats(fold, video, T0).hosts).toEqual([]);
		expect(foldReading(fold, chunk(2))).toBe("pending");
		expect(foldReading(fold, chunk(1))).toBe("sample");
		expect([1, 2, 3].map((number) => ruleStats(fold, rule("r", number), T0).receivedPackets)).toEqual([
			1n,
			2n,
			3n,
		]);
	});

	test("a lost chunk costs its publication and no other", () => {
		const fold = emptyFold();
		const chunk = (sequence: bigint, index: number): Reading => ({
			sequence,
			atMs: T0 + Number(sequence) * 1000,
			chunk: index,
			chunks: 2,
			rules: [{ uid: uid(index + 1), received: sequence * 10n }],
		});
		foldReading(fold, chunk(1n, 0));
		foldReading(fold, chunk(1n, 1));
		// The second chunk of publication 2 never comes.
		foldReading(fold, chunk(2n, 0));
		expect(ruleStats(fold, video, T0 + 2000).receivedPackets).toBe(10n);
		expect(foldReading(fold, chunk(3n, 0))).toBe("pending");
		expect(foldReading(fold, chunk(2n, 1))).toBe("stale");
		expect(foldReading(fold, chunk(3n, 1))).toBe("sample");
		const stats = ruleStats(fold, video, T0 + 3000);
		expect([stats.receivedPackets, stats.packetsPerSecond]).toEqual([30n, 10]);
	});

	test("a rule that spans two chunks adds up its outputs, not its own figures", () => {
		const fold = emptyFold();
		const chunk = (index: number): Reading => ({
			chunk: index,
			chunks: 2,
			rules: [{ uid: uid(1), received: 10n, outputs: [{ output: index === 0 ? R1 : R2, sent: 10n }] }],
		});
		foldReading(fold, chunk(0));
		foldReading(fold, chunk(1));
		const stats = ruleStats(fold, rule("video", 1, [R1, R2]), T0);
		expect(stats.receivedPackets).toBe(10n);
		expect(stats.outputs.map(({ sentPackets }) => sentPackets)).toEqual([10n, 10n]);
	});

	test("two aggregators, one of which heard only the last of each worker, say the same totals", () => {
		const publications: Reading[] = [1n, 2n, 3n].flatMap((sequence) =>
			["relay-a", "relay-b"].map((host) => ({
				host,
				sequence,
				atMs: T0 + Number(sequence) * 1000,
				rules: [{ uid: uid(1), received: sequence * 100n, outputs: [{ output: R1, sent: sequence * 100n }] }],
			})),
		);
		const old = emptyFold();
		const young = emptyFold();
		for (const publication of publications) {
			foldReading(old, publication);
		}
		for (const publication of publications.slice(-2)) {
			foldReading(young, publication);
		}
		// Silent for long: no rates, which the young one cannot know yet.
		const now = T0 + 60_000;
		expect(ruleStats(young, video, now)).toEqual(ruleStats(old, video, now));
		expect(ruleStats(young, video, now).receivedPackets).toBe(600n);
	});
});
