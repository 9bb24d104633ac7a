import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { frame } from "./lab/frames.ts";
import { connect, Namespace } from "./lab/namespace.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

/** The judge must be above suspicion: on a plain cable it sees what is right and what is wrong. */
let src: Namespace;
let dst: Namespace;

beforeAll(async () => {
	src = await Namespace.create("src");
	dst = await Namespace.create("dst");
	await connect(
		{ namespace: src, name: "s0", address: "10.1.0.2/24" },
		{ namespace: dst, name: "d0", address: "10.1.0.1/24" },
	);
});

afterAll(async () => {
	await src?.remove();
	await dst?.remove();
});

test("20 streams on a plain cable arrive whole", async () => {
	const receiver = await recv(dst, { in: "d0:239.1.0.1:5001", streams: 20, expect: 1_000 });
	await gen(src, { to: "s0:239.1.0.1:5001", rate: 2_000, count: 1_000, streams: 20, burst: 4 });
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(20_000);
	expect(report.streams).toHaveLength(20);
});

test("super-packets that are taken as one are told apart, a short last one included", async () => {
	for (const merged of [false, true]) {
		const receiver = await recv(dst, { in: "d0:239.1.0.1:5001", streams: 2, expect: 1_005, merged });
		const load = { rate: 5_000, count: 1_005, streams: 2, burst: 32, size: 1_001, segment: true };
		await gen(src, { to: "s0:239.1.0.1:5001", ...load });
		const report = await receiver.report();
		expect(faults(report)).toEqual(NO_FAULTS);
		expect(report.receivedPackets).toBe(2_010);
		for (const { payloadBytesMin, payloadBytesMax } of report.streams)
			expect([payloadBytesMin, payloadBytesMax]).toEqual([1_001, 1_001]);
	}
});

test("what never came is lost", async () => {
	const receiver = await recv(dst, { in: "d0:239.1.0.1:5001", expect: 150 });
	await gen(src, { to: "s0:239.1.0.1:5001", rate: 1_000, count: 100 });
	expect(faults(await receiver.reportAfter(100))).toEqual({ ...NO_FAULTS, lost: 50 });
});

test("of a sample nothing is taken for wrong, and what is not in it counts as dropped", async () => {
	const receiver = await recv(dst, { in: "d0:239.1.0.1:5001", sample: 4 });
	await gen(src, { to: "s0:239.1.0.1:5001", rate: 20_000, count: 4_000 });
	const report = await receiver.complete();
	const { duplicated, reordered, corrupt, foreign } = faults(report);
	expect([duplicated, reordered, corrupt, foreign]).toEqual([0, 0, 0, 0]);
	expect(report.receivedPackets + report.receiverDroppedPackets).toBe(4_000);
	// One of four: more than twelve standard deviations off is no chance.
	expect(Math.abs(report.receivedPackets - 1_000)).toBeLessThan(330);
});

test("what comes twice is duplicated", async () => {
	const receiver = await recv(dst, { in: "d0:239.1.0.1:5001" });
	await gen(src, { to: "s0:239.1.0.1:5001", rate: 1_000, count: 100 });
	await gen(src, { to: "s0:239.1.0.1:5001", rate: 1_000, count: 100 });
	expect(faults(await receiver.reportAfter(200))).toEqual({ ...NO_FAULTS, duplicated: 100 });
});

test("another stream's datagrams, and what no generator sent, are foreign", async () => {
	const receiver = await recv(dst, { in: "d0:239.1.0.1:5001", streams: 2 });
	// Stream 0 in the group that belongs to stream 1.
	await gen(src, { to: "s0:239.1.0.2:5001", rate: 1_000, count: 30 });
	const inject = resolve(import.meta.dir, "../../build/test-tools/inject");
	await src.must([inject, "s0"], { input: `${frame({ destination: "239.1.0.1", port: 5001 })}\n` });
	expect(faults(await receiver.reportAfter(31))).toEqual({ ...NO_FAULTS, foreign: 31 });
});
