import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { type WorkerCounters, WorkerCountersSchema, WorkerGaugesSchema } from "@sluice/proto/gen/stats";
import { decodeCounters, limits } from "./decode.ts";
import { R1, uid, workerCounters } from "./testing/counters.ts";

const SUBJECT = "sluice.v1.counters.relay-a.0";

function valid(): WorkerCounters {
	return workerCounters({
		rules: [{ uid: uid(1), received: 1n, outputs: [{ output: R1, sent: 1n }] }],
		interfaces: [{ name: "r0", captured: 1n, unmatched: 0n }],
	});
}

function refusal(change: (message: WorkerCounters) => void, subject = SUBJECT): string | undefined {
	const message = valid();
	change(message);
	const decoded = decodeCounters(subject, toBinary(WorkerCountersSchema, message));
	return "refused" in decoded ? decoded.refused : undefined;
}

describe("decodeCounters", () => {
	test("a valid message is taken", () => {
		expect(refusal(() => {})).toBeUndefined();
	});

	test("bytes that are no protobuf are refused", () => {
		const decoded = decodeCounters(SUBJECT, new Uint8Array([0xff, 0xff, 0xff]));
		expect(decoded).toEqual({ refused: "not a WorkerCounters message" });
	});

	const columns: (keyof WorkerCounters)[] = [
		"ruleReceivedPackets",
		"ruleReceivedBytes",
		"ruleForwardedPackets",
		"ruleLastReceivedUnixMs",
		"ruleDroppedPackets",
		"outputRule",
		"outputEligiblePackets",
		"outputSentPackets",
		"outputSentBytes",
		"outputFailedPackets",
		"outputLimitedPackets",
		"interfaceCapturedFrames",
		"interfaceKernelDroppedFrames",
		"interfaceUnmatchedPackets",
		"interfaceDroppedPackets",
	];
	for (const column of columns) {
		test(`a ${column} column of another length is refused`, () => {
			expect(refusal((message) => Object.assign(message, { [column]: [] }))).toBeString();
		});
	}

	test("columns that are left out where all is 0 are refused only when they are there in another length", () => {
		for (const column of ["outputFailedByReason", "outputUnreachableAnswers"] as const) {
			expect(refusal((message) => Object.assign(message, { [column]: [1n, 2n] }))).toBeString();
		}
	});

	test("half a uid is refused", () => {
		expect(refusal((message) => Object.assign(message, { ruleUids: new Uint8Array(17) }))).toBeString();
	});

	test("an output of a rule that is not in the message is refused", () => {
		expect(refusal((message) => Object.assign(message, { outputRule: [1] }))).toBeString();
	});

	test("what a worker says of itself has limits", () => {
		const gauges = (steps: number) => (message: WorkerCounters) => {
			message.gauges = create(WorkerGaugesSchema, { batchFrames: new Array<bigint>(steps).fill(1n) });
		};
		expect(refusal(gauges(limits.histogramSteps))).toBeUndefined();
		expect(refusal(gauges(limits.histogramSteps + 1))).toBe("histogram length");
		expect(refusal((message) => Object.assign(message, { interfaceNames: ["a".repeat(16)] }))).toBeString();
		const further = { chunk: 1, chunks: 2 };
		expect(refusal((message) => Object.assign(message, further), `${SUBJECT}.1`)).toContain("further chunk");
	});

	test("chunk numbers that make no sense are refused", () => {
		const chunk = (index: number, of: number) => (message: WorkerCounters) =>
			Object.assign(message, { chunk: index, chunks: of });
		expect(refusal(chunk(0, 0))).toBeString();
		expect(refusal(chunk(1, 1), `${SUBJECT}.1`)).toBeString();
		expect(refusal(chunk(0, limits.chunks + 1))).toBeString();
		const second = (message: WorkerCounters) =>
			Object.assign(message, workerCounters({ chunk: 1, chunks: 2 }));
		expect(refusal(second, `${SUBJECT}.1`)).toBeUndefined();
	});

	test("a worker cannot speak for another worker, nor for another host", () => {
		expect(refusal(() => {}, "sluice.v1.counters.relay-a.1")).toBeString();
		expect(refusal(() => {}, "sluice.v1.counters.relay-b.0")).toBeString();
		expect(
			refusal((message) => Object.assign(message, { host: "a.b" }), "sluice.v1.counters.a.b.0"),
		).toBeString();
	});
});
