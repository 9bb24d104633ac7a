import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { assertAccounts, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

describe("a payload one byte over the output's MTU minus headers", () => {
	let lab: Chain;
	let relay: Relay;

	beforeAll(async () => {
		lab = await chain({ mtu: 9000 });
		// Only the way out is narrow, so that the kernel has to fragment there.
		await lab.relay.ip("link", "set", "r1", "mtu", "1500");
		relay = new Relay(lab.relay);
		await relay.up("--workers", "2");
		await relay.sluice("rule", "add", "big", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
	});

	afterAll(async () => {
		await relay?.remove();
		await lab?.remove();
	});

	for (const [size, rate, burst] of [
		[1473, 100, 1],
		[1473, 10_000, 32],
		[8972, 100, 1],
		[8972, 2_000, 16],
	] as const) {
		test(`${size} bytes at ${rate} pps in bursts of ${burst} arrive, fragmented by the kernel`, async () => {
			const count = Math.max(200, rate);
			const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count });
			await gen(lab.src, { to: "s0:239.1.1.1:5001", rate, count, size, burst });
			const report = await receiver.report();
			expect(faults(report)).toEqual(NO_FAULTS);
			expect(report.receivedPackets).toBe(count);
			expect(report.streams[0]?.payloadBytesMax).toBe(size);
		});
	}
});

describe("super-packets from another namespace", () => {
	let lab: Chain;
	let relay: Relay;

	beforeAll(async () => {
		lab = await chain();
		relay = new Relay(lab.relay);
		await relay.up("--workers", "2");
		await relay.sluice("rule", "add", "super", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
	});

	afterAll(async () => {
		await relay?.remove();
		await lab?.remove();
	});

	for (const [size, burst] of [
		[1400, 32],
		[1472, 44],
		[100, 64],
		[1400, 3],
	] as const) {
		test(`bursts of ${burst} × ${size} bytes arrive as the datagrams that were sent`, async () => {
			const before = (await relay.figures()).rules[0]?.receivedPackets ?? 0;
			const frames = (await relay.figures()).interfaces[0]?.capturedFrames ?? 0;
			const count = burst * 200;
			const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count });
			await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 10_000, count, size, burst, segment: true });
			const report = await receiver.report();
			expect(faults(report)).toEqual(NO_FAULTS);
			expect(report.receivedPackets).toBe(count);
			const figures = await relay.figuresAfter(before + count);
			assertAccounts(figures);
			// They crossed the wire as super-packets: fewer frames than datagrams.
			expect((figures.interfaces[0]?.capturedFrames ?? 0) - frames).toBeLessThan(count);
			expect(figures.rules[0]?.receivedPackets).toBe(before + count);
		});
	}
});
