import { expect, test } from "bun:test";
import type { Figures, RuleFigures } from "../netns/lab/relay.ts";
import type { RecvReport, StreamReport } from "../netns/lab/traffic.ts";
import { ALL_FLOWS, bundleLoss, type FlowOutcome, findFaults, kernelDrops, stepsBack } from "./accounts.ts";
import { BUNDLES, type Flow, type RuleSpec, STABLE_FLOWS, STABLE_RULES } from "./flows.ts";

const OF_EACH = 1_000;

function ruleFigures({ name, outputs }: RuleSpec, count: number): RuleFigures {
	return {
		...{ name, receivedPackets: count, receivedBytes: count, forwardedPackets: count, droppedPackets: {} },
		outputs: outputs.map((output) => ({
			...output,
			...{ eligiblePackets: count, sentPackets: count, sentBytes: count },
			...{ failedPackets: 0, limitedPackets: 0, failedByReason: {}, unreachableAnswers: 0 },
		})),
	};
}

function figures(ofEach: number): Figures {
	const streams = STABLE_FLOWS.reduce((sum, flow) => sum + flow.streams, 0);
	const none = { kernelDroppedFrames: 0, unmatchedPackets: 0, droppedPackets: {} };
	return {
		rules: STABLE_RULES.map((rule) => ruleFigures(rule, ofEach)),
		interfaces: [
			{ interface: "r0", capturedFrames: streams * ofEach, ...none },
			{ interface: "r3", capturedFrames: ofEach / BUNDLES.burst, ...none },
		],
	};
}

function streamReport(destination: string): StreamReport {
	return {
		...{ destination, receivedPackets: OF_EACH, lostPackets: 0, duplicatedPackets: 0, reorderedPackets: 0 },
		...{ corruptPackets: 0, foreignPackets: 0, receiverDroppedPackets: 0, sourceChanges: 0 },
		...{ sourceAddress: "10.2.0.1", sourcePort: 1, ttl: 16, dscp: 0, payloadBytesMin: 1, payloadBytesMax: 1 },
	};
}

function outcome(flow: Flow): FlowOutcome {
	const streams = flow.rules.flatMap(({ outputs }) =>
		outputs.map(({ address, port }) => streamReport(`${address}:${port}`)),
	);
	const ends = { latencyMicroseconds: null, endedBy: "expect" };
	const report: RecvReport = { ...streamReport(""), ...ends, streams };
	return { sent: OF_EACH * flow.streams, reports: [report] };
}

/** A round in which all is right, after one in which it was. */
function rightRound() {
	return {
		before: figures(500),
		after: figures(500 + OF_EACH),
		flows: new Map(ALL_FLOWS.map((flow) => [flow.name, outcome(flow)])),
		lostOnWire: { s0: 0, s3: 0, s4: 0, r1: 0, r2: 0 },
	};
}

type Round = ReturnType<typeof rightRound>;

function video(round: Round): RuleFigures {
	return round.after.rules.find(({ name }) => name === "video") ?? ruleFigures({} as RuleSpec, 0);
}

function listened(round: Round, flow: string): { total: RecvReport; stream: StreamReport } {
	const total = round.flows.get(flow)?.reports[0];
	const stream = total?.streams[0];
	if (total === undefined || stream === undefined) throw new Error(`nobody listens to ${flow}`);
	return { total, stream };
}

test("a round in which everything is where it should be has no fault", () => {
	expect(findFaults(rightRound())).toEqual([]);
});

test("a single datagram that is missing or too many is found, wherever it is", () => {
	const cases: [string, (round: Round) => void, RegExp][] = [
		[
			"not captured",
			(round) => Object.assign(round.after.interfaces[0] ?? {}, { capturedFrames: 1 }),
			/^r0: sent/,
		],
		["received twice", (round) => Object.assign(video(round), { receivedPackets: 1_501 }), /^r0: captured/],
		[
			"not forwarded",
			(round) => Object.assign(video(round), { forwardedPackets: 1_499 }),
			/^rule video: received/,
		],
		[
			"not eligible",
			(round) => Object.assign(video(round).outputs[0] ?? {}, { eligiblePackets: 1_499 }),
			/^rule video to 239\.10\.1\.1: /,
		],
		[
			"failed",
			(round) => Object.assign(video(round).outputs[0] ?? {}, { sentPackets: 1_499, failedPackets: 1 }),
			/^rule video to 239\.10\.1\.1: .*failed 1$/m,
		],
		[
			"not heard",
			(round) => Object.assign(listened(round, "fan").stream, { receivedPackets: 999 }),
			/^239\.30\.1\.1:6003: sent 1000, received 999 /,
		],
		[
			"heard but not sent",
			(round) => Object.assign(listened(round, "fan").stream, { receivedPackets: 1_001 }),
			/^239\.30\.1\.1:6003: /,
		],
		[
			"unmatched",
			(round) => Object.assign(round.after.interfaces[0] ?? {}, { unmatchedPackets: 1 }),
			/unmatched 1/,
		],
	];
	for (const [what, spoil, says] of cases) {
		const round = rightRound();
		spoil(round);
		expect([what, findFaults(round).join("\n")]).toEqual([what, expect.stringMatching(says)]);
	}
});

test("twice, out of order, corrupt and foreign count for every flow", () => {
	for (const what of ["duplicatedPackets", "reorderedPackets", "corruptPackets", "foreignPackets"]) {
		const round = rightRound();
		Object.assign(listened(round, "video").total, { [what]: 1 });
		expect(findFaults(round)).toHaveLength(1);
	}
});

test("what the kernel dropped, wires lost and receivers dropped is accounted for", () => {
	const round = rightRound();
	Object.assign(video(round), ruleFigures(STABLE_RULES[0] as RuleSpec, 1_490));
	Object.assign(round.after.interfaces[0] ?? {}, {
		capturedFrames: (round.after.interfaces[0]?.capturedFrames ?? 0) - 10,
		kernelDroppedFrames: 7,
	});
	round.lostOnWire.s0 = 3;
	Object.assign(listened(round, "video").stream, { receivedPackets: 988, receiverDroppedPackets: 2 });
	expect(findFaults(round)).toEqual([]);
	expect(kernelDrops(round)).toBe(7);
});

test("bundles may be lost as whole frames that were counted, and not otherwise", () => {
	const round = rightRound();
	const bundles = round.after.rules.find(({ name }) => name === "bundles");
	const lost = 2 * BUNDLES.burst;
	Object.assign(bundles ?? {}, ruleFigures(BUNDLES.rules[0] as RuleSpec, 1_500 - lost));
	Object.assign(listened(round, "bundles").stream, { receivedPackets: OF_EACH - lost });
	expect(bundleLoss(round)).toBe(lost);
	expect(findFaults(round)).toHaveLength(1);
	Object.assign(round.after.interfaces[1] ?? {}, { droppedPackets: { TRUNCATED: 2 } });
	expect(findFaults(round)).toEqual([]);
});

test("a figure that is smaller than it was has stepped back", () => {
	expect(stepsBack(figures(10), figures(10))).toEqual([]);
	expect(stepsBack(figures(10), figures(11))).toEqual([]);
	expect(stepsBack(figures(10), { rules: [], interfaces: [] }).length).toBeGreaterThan(40);
	const after = figures(10);
	Object.assign(after.rules[0]?.outputs[0] ?? {}, { sentPackets: 9 });
	expect(stepsBack(figures(10), after)).toEqual(["sent of video to 239.10.1.1 stepped back from 10 to 9"]);
});
