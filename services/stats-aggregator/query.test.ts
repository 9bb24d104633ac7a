import { describe, expect, test } from "bun:test";
import { toJsonText } from "@sluice/lib/json";
import { Drop_Reason, Failure_Reason, RuleStatsSchema } from "@sluice/proto/gen/stats";
import { emptyFold } from "./fold.ts";
import { interfaceStats, ruleStats, SILENT_WORKER_MS, workerStats } from "./query.ts";
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

	test("rates follow the workers' own clocks, and are zero for a worker that is not heard", () => {
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
		expect(ruleStats(fold, video, T0 + 2001 + SILENT_WORKER_MS).packetsPerSecond).toBe(0);
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
		const figures = interfaceStats(fold).map((each) => [
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
