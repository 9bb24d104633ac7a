import { describe, expect, test } from "bun:test";
import { toJsonText } from "@sluice/lib/json";
import { Drop_Reason, Failure_Reason, RuleStatsSchema } from "@sluice/proto/gen/stats";
import { emptyFold } from "./fold.ts";
import { interfaceStats, ruleStats, workerStats } from "./query.ts";
import { SILENT_WORKER_MS } from "./rates.ts";
import { foldReading, R1, R2, rule, T0, uid } from "./testing/counters.ts";

const video = rule("video", 1);

describe("query", () => {
	test("sums over workers and hosts, and per host; received = forwarded + drops", () => {
		const fold = emptyFold();
		const dropped = { [Drop_Reason.SOURCE_FILTERED]: 2n, [Drop_Reason.NO_OUTPUT]: 1n };
		foldReading(fold, { worker: 0, rules: [{ uid: uid(1), received: 10n, dropped }] });
		foldReading(fold, { worker: 1, rules: [{ uid: uid(1), received: 20n }] });
		foldReading(fold, { host: "relay-b", rules: [{ uid: uid(1), received: 5n, dropped }] });
		const stats = ruleStats(fold, video, T0);
		expect(stats.receivedPackets).toBe(35n);
		expect(stats.receivedBytes).toBe(35_000n);
		expect(stats.forwardedPackets).toBe(29n);
		expect(stats.droppedPackets).toEqual({ SOURCE_FILTERED: 4n, NO_OUTPUT: 2n });
		expect(stats.hosts.map((host) => [host.host, host.receivedPackets, host.droppedPackets])).toEqual([
			["relay-a", 30n, { SOURCE_FILTERED: 2n, NO_OUTPUT: 1n }],
			["relay-b", 5n, { SOURCE_FILTERED: 2n, NO_OUTPUT: 1n }],
		]);
	});

	test("totals are what hosts count now and what they counted before their last start", () => {
		const fold = emptyFold();
		const dropped = { [Drop_Reason.NO_OUTPUT]: 2n };
		const failed = { [Failure_Reason.QUEUE_FULL]: 1n };
		const run = (host: string, incarnation: bigint, received: bigint) => {
			const outputs = [{ output: R1, sent: received - 3n, failed }];
			foldReading(fold, { host, incarnation, rules: [{ uid: uid(1), received, dropped, outputs }] });
		};
		run("relay-b", 100n, 5n);
		for (const incarnation of [100n, 200n])
			foldReading(fold, { host: "relay-0", incarnation, rules: [{ uid: uid(1), received: 0n }] });
		expect(ruleStats(fold, video, T0).former).toBeUndefined();
		// Three runs of one host, of which the last does not know the rule.
		for (const incarnation of [100n, 200n]) run("relay-a", incarnation, 1_000n);
		foldReading(fold, { host: "relay-a", incarnation: 300n });
		run("relay-c", 100n, 70n);
		run("relay-c", 101n, 7n);
		const { former, hosts, ...total } = ruleStats(fold, video, T0);
		expect(hosts.map(({ host, receivedPackets }) => [host, receivedPackets])).toEqual([
			["relay-0", 0n],
			["relay-b", 5n],
			["relay-c", 7n],
		]);
		expect([total.receivedPackets, former?.receivedPackets]).toEqual([2_082n, 2_070n]);
		const parts = [...hosts, ...(former === undefined ? [] : [former])];
		const sum = (figure: (part: (typeof parts)[number]) => bigint | undefined) =>
			parts.reduce((all, part) => all + (figure(part) ?? 0n), 0n);
		expect(sum((part) => part.receivedBytes)).toBe(total.receivedBytes);
		expect(sum((part) => part.forwardedPackets)).toBe(total.forwardedPackets);
		expect(sum((part) => part.droppedPackets["NO_OUTPUT"])).toBe(total.droppedPackets["NO_OUTPUT"] ?? 0n);
		for (const figure of ["eligiblePackets", "sentPackets", "failedPackets"] as const)
			expect(sum((part) => part.outputs[0]?.[figure])).toBe(total.outputs[0]?.[figure] ?? 0n);
		expect(former?.outputs[0]?.failedByReason).toEqual({ QUEUE_FULL: 3n });
	});

	test("a rule that nobody counted shows zeros and its outputs, and no silence", () => {
		const stats = ruleStats(emptyFold(), rule("video", 1, [R2, R1]), T0);
		expect(JSON.parse(toJsonText(RuleStatsSchema, stats))).toEqual({
			name: "video",
			uid: uid(1),
			receivedPackets: "0",
			receivedBytes: "0",
			forwardedPackets: "0",
			droppedPackets: {},
			packetsPerSecond: 0,
			bitsPerSecond: 0,
			hosts: [],
			outputs: [R2, R1].map(({ interface: name, address, port }) => ({
				interface: name,
				address,
				port,
				eligiblePackets: "0",
				sentPackets: "0",
				sentBytes: "0",
				failedPackets: "0",
				limitedPackets: "0",
				failedByReason: {},
				unreachableAnswers: "0",
				packetsPerSecond: 0,
			})),
		});
	});

	test("per output: eligible = sent + failed + limited, summed over workers, in the rule's order", () => {
		const fold = emptyFold();
		for (const worker of [0, 1]) {
			const outputs = [
				{ output: R1, sent: 8n, failed: { [Failure_Reason.QUEUE_FULL]: 2n }, answers: 1n },
				{ output: R2, sent: 10n },
			];
			foldReading(fold, { worker, rules: [{ uid: uid(1), received: 10n, outputs }] });
		}
		const [second, first] = ruleStats(fold, rule("video", 1, [R2, R1]), T0).outputs;
		expect([second?.eligiblePackets, second?.sentPackets]).toEqual([20n, 20n]);
		expect([first?.eligiblePackets, first?.sentPackets, first?.failedPackets]).toEqual([20n, 16n, 4n]);
		expect([first?.failedByReason, second?.failedByReason]).toEqual([{ QUEUE_FULL: 4n }, {}]);
		expect([first?.unreachableAnswers, second?.unreachableAnswers]).toEqual([2n, 0n]);
	});

	test("workers where nothing failed say no reasons, and add nothing to those of the others", () => {
		const fold = emptyFold();
		const failed = { [Failure_Reason.UNUSABLE]: 3n, [Failure_Reason.INTERFACE_DOWN]: 1n };
		for (const [worker, reading] of [{}, { failed }, {}].entries())
			foldReading(fold, {
				worker,
				rules: [{ uid: uid(1), received: 4n, outputs: [{ output: R1, sent: 0n, ...reading }] }],
			});
		const [output] = ruleStats(fold, video, T0).outputs;
		expect(output?.failedByReason).toEqual({ INTERFACE_DOWN: 1n, UNUSABLE: 3n });
		expect(output?.failedPackets).toBe(4n);
	});

	test("rates follow the workers' own clocks, and nobody knows them of workers that are not heard", () => {
		const fold = emptyFold();
		const hosts = [
			// Two clocks that are an hour apart, and neither is ours.
			{ host: "relay-a", startMs: T0 - 1_800_000, pps: 100n },
			{ host: "relay-b", startMs: T0 + 1_800_000, pps: 50n },
		];
		for (const { host, startMs, pps } of hosts) {
			for (const second of [0n, 1n, 2n]) {
				const received = 1000n + second * pps;
				const rules = [{ uid: uid(1), received, outputs: [{ output: R1, sent: received }] }];
				const atMs = startMs + Number(second) * 1000;
				foldReading(fold, { host, sequence: second + 1n, atMs, rules }, T0 + Number(second) * 1000);
			}
		}
		const stats = ruleStats(fold, video, T0 + 2500);
		expect([stats.packetsPerSecond, stats.bitsPerSecond]).toEqual([150, 1_200_000]);
		expect(stats.outputs[0]?.packetsPerSecond).toBe(150);
		expect(ruleStats(fold, video, T0 + 2000 + SILENT_WORKER_MS).packetsPerSecond).toBe(150);
		const silent = ruleStats(fold, video, T0 + 2001 + SILENT_WORKER_MS);
		expect([silent.packetsPerSecond, silent.outputs[0]?.packetsPerSecond]).toEqual([undefined, undefined]);
	});

	test("a rate is not known until each worker that speaks was heard twice, and the dead are no part of it", () => {
		const fold = emptyFold();
		const reading = (host: string, sequence: bigint, received: bigint, heardMs: number) => {
			const rules = [{ uid: uid(1), received, outputs: [{ output: R1, sent: received }] }];
			foldReading(fold, { host, sequence, atMs: heardMs, rules }, heardMs);
		};
		reading("relay-dead", 1n, 0n, T0 - 10_000);
		reading("relay-dead", 2n, 900n, T0 - 9_000);
		reading("relay-a", 1n, 0n, T0);
		reading("relay-b", 1n, 0n, T0);
		reading("relay-a", 2n, 100n, T0 + 1_000);
		const early = ruleStats(fold, video, T0 + 1_000);
		expect(early.hosts.map(({ packetsPerSecond }) => packetsPerSecond)).toEqual([100, undefined, undefined]);
		expect([early.packetsPerSecond, early.outputs[0]?.packetsPerSecond]).toEqual([undefined, undefined]);
		expect(JSON.parse(toJsonText(RuleStatsSchema, early))).not.toHaveProperty("packetsPerSecond");
		reading("relay-b", 2n, 50n, T0 + 1_000);
		const stats = ruleStats(fold, video, T0 + 1_000);
		expect([stats.packetsPerSecond, stats.receivedPackets]).toEqual([150, 1_050n]);
	});

	test("figures of a host that died stay, and are marked with their age", () => {
		const fold = emptyFold();
		const interfaces = [{ name: "r0", captured: 9n, unmatched: 0n }];
		for (const [host, heardMs] of [
			["relay-a", T0],
			["relay-b", T0 - 3_001],
		] as const)
			foldReading(fold, { host, rules: [{ uid: uid(1), received: 7n }], interfaces }, heardMs);
		const stats = ruleStats(fold, video, T0);
		expect(stats.receivedPackets).toBe(14n);
		const marks = [
			["relay-a", 0, false],
			["relay-b", 3.001, true],
		] as const;
		for (const list of [stats.hosts, interfaceStats(fold, T0), workerStats(fold, T0)]) {
			const marked = list.map(({ host, ageSeconds, stale }) => [host, ageSeconds, stale] as const);
			expect(marked).toEqual([...marks]);
		}
	});

	test("per worker on demand: what they counted adds up to their host's figures", () => {
		const fold = emptyFold();
		for (const worker of [1, 0]) {
			const outputs = [{ output: R1, sent: 8n }];
			const received = BigInt(10 + worker);
			foldReading(fold, { worker, rules: [{ uid: uid(1), received, outputs }] }, T0 - worker * 4_000);
		}
		expect(ruleStats(fold, video, T0).hosts[0]?.workers).toEqual([]);
		const [host] = ruleStats(fold, video, T0, true).hosts;
		expect(
			host?.workers.map((each) => [
				each.worker,
				each.receivedPackets,
				each.outputs[0]?.sentPackets,
				each.stale,
			]),
		).toEqual([
			[0, 10n, 8n, false],
			[1, 11n, 8n, true],
		]);
		expect([host?.receivedPackets, host?.stale]).toEqual([21n, false]);
	});

	test("a publication soon after another does not make rates of noise", () => {
		const fold = emptyFold();
		const reading = (sequence: bigint, atMs: number, received: bigint) =>
			foldReading(fold, { sequence, atMs, rules: [{ uid: uid(1), received }] });
		reading(1n, T0, 0n);
		reading(2n, T0 + 1000, 100n);
		reading(3n, T0 + 1001, 101n);
		expect(ruleStats(fold, video, T0 + 1001).packetsPerSecond).toBeCloseTo(101 / 1.001, 6);
	});

	test("silence is the shortest of all workers', and grows while nobody is heard", () => {
		const fold = emptyFold();
		const silentFor = (worker: number, ms: number) =>
			foldReading(fold, {
				worker,
				atMs: T0,
				rules: [{ uid: uid(1), received: 1n, lastReceivedMs: T0 - ms }],
			});
		silentFor(0, 9000);
		silentFor(1, 4000);
		foldReading(fold, { worker: 2, rules: [{ uid: uid(1), received: 0n }] });
		expect(ruleStats(fold, video, T0).silentSeconds).toBe(4);
		expect(ruleStats(fold, video, T0 + 6000).silentSeconds).toBe(10);
	});

	test("interfaces sum over the workers of their host", () => {
		const fold = emptyFold();
		for (const worker of [0, 1]) {
			foldReading(fold, { worker, interfaces: [{ name: "r0", captured: 10n, unmatched: 3n }] });
		}
		foldReading(fold, { host: "relay-b", interfaces: [{ name: "r0", captured: 1n, unmatched: 1n }] });
		const figures = interfaceStats(fold, T0).map((each) => [
			each.host,
			each.interface,
			each.capturedFrames,
			each.unmatchedPackets,
			each.droppedPackets,
		]);
		expect(figures).toEqual([
			["relay-a", "r0", 20n, 6n, {}],
			["relay-b", "r0", 1n, 1n, {}],
		]);
	});

	test("workers are listed with the age of their figures", () => {
		const fold = emptyFold();
		foldReading(fold, { worker: 10 });
		foldReading(fold, { worker: 9 });
		expect(workerStats(fold, T0 + 1500).map(({ worker, ageSeconds }) => [worker, ageSeconds])).toEqual([
			[9, 1.5],
			[10, 1.5],
		]);
	});
});
