import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { until } from "./lab/commands.ts";
import { type FrameOptions, frame } from "./lab/frames.ts";
import type { Figures, InterfaceFigures } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";

const INJECT = resolve(import.meta.dir, "../../build/test-tools/inject");

const { lab, relay } = await relayOnChain(["--workers", "2"], async ({ relay }) => {
	await relay.applyRules([
		{
			name: "picky",
			input: { interface: "r0", group: "239.1.1.1", port: 5001, sources: ["10.1.0.0/24"] },
			outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
		},
		{
			name: "one-host",
			input: { interface: "r0", group: "239.1.1.1", port: 5001, sources: ["10.1.0.99"] },
			outputs: [{ interface: "r1", address: "239.10.1.2", port: 6001 }],
		},
		{
			name: "tagged",
			input: { interface: "r0", group: "239.1.1.1", port: 5001, vlan: 7 },
			outputs: [{ interface: "r1", address: "239.10.1.3", port: 6001 }],
		},
	]);
});

const GOOD: FrameOptions = { destination: "239.1.1.1", port: 5001 };

async function inject(frames: FrameOptions[]): Promise<void> {
	const lines = frames.map((options) => `${frame(options)}\n`).join("");
	await lab.src.must([INJECT, "s0"], { input: lines });
}

function input(figures: Figures): InterfaceFigures {
	const found = figures.interfaces.find((entry) => entry.interface === "r0");
	return (
		found ?? {
			interface: "r0",
			capturedFrames: 0,
			kernelDroppedFrames: 0,
			unmatchedPackets: 0,
			droppedPackets: {},
		}
	);
}

/** Injects, and waits until so many more frames were captured. */
async function captured(frames: FrameOptions[]): Promise<{ before: Figures; after: Figures }> {
	const before = await relay.figures();
	await inject(frames);
	const wanted = input(before).capturedFrames + frames.length;
	const after = await until(`${wanted} frames captured`, async () => {
		const figures = await relay.figures();
		return input(figures).capturedFrames >= wanted ? figures : undefined;
	});
	expect(input(after).capturedFrames).toBe(wanted);
	return { before, after };
}

function received(figures: Figures, name: string): number {
	return figures.rules.find((rule) => rule.name === name)?.receivedPackets ?? 0;
}

const TIMES = 7;
const wrong: [string, FrameOptions][] = [
	["SHORT_FRAME", { ...GOOD, headerWords: 15, cut: 50 }],
	["BAD_IP_HEADER", { ...GOOD, version: 5 }],
	["BAD_IP_HEADER", { ...GOOD, headerWords: 4 }],
	["BAD_IP_HEADER", { ...GOOD, totalLength: 1400 }],
	["BAD_IP_CHECKSUM", { ...GOOD, ipChecksum: 0x1234 }],
	["FRAGMENT", { ...GOOD, fragment: 0x2000 }],
	["FRAGMENT", { ...GOOD, fragment: 0x0010 }],
	["NOT_UDP", { ...GOOD, protocol: 1 }],
	["BAD_UDP_LENGTH", { ...GOOD, udpLength: 7 }],
	["BAD_UDP_LENGTH", { ...GOOD, udpLength: 1000 }],
	["BAD_UDP_CHECKSUM", { ...GOOD, udpChecksum: 0x4321 }],
	[
		"DOUBLE_TAGGED",
		{
			...GOOD,
			tags: [
				[0x88a8, 5],
				[0x8100, 7],
			],
		},
	],
	["SOURCE_FILTERED", { ...GOOD, source: "172.16.0.1" }],
];

for (const [reason, options] of wrong) {
	test(`${reason}: ${JSON.stringify({ ...options, destination: undefined, port: undefined })} is counted under its name`, async () => {
		const { before, after } = await captured(Array.from({ length: TIMES }, () => options));
		const earlier = input(before).droppedPackets;
		expect(input(after).droppedPackets).toEqual({ ...earlier, [reason]: (earlier[reason] ?? 0) + TIMES });
		for (const rule of after.rules) expect(rule.receivedPackets).toBe(received(before, rule.name));
	});
}

test("another port of a joined group, and another VLAN, are unmatched", async () => {
	const { before, after } = await captured([
		{ ...GOOD, port: 5002 },
		{ ...GOOD, tags: [[0x8100, 8]] },
	]);
	expect(input(after).unmatchedPackets).toBe(input(before).unmatchedPackets + 2);
});

test("the longest source prefix wins, the VLAN decides, an absent UDP checksum is fine", async () => {
	const { before, after } = await captured([
		GOOD,
		{ ...GOOD, udpChecksum: 0 },
		{ ...GOOD, source: "10.1.0.99" },
		{ ...GOOD, source: "172.16.0.1", tags: [[0x8100, 7]] },
	]);
	expect(received(after, "picky")).toBe(received(before, "picky") + 2);
	expect(received(after, "one-host")).toBe(received(before, "one-host") + 1);
	expect(received(after, "tagged")).toBe(received(before, "tagged") + 1);
});

test("captured = received by rules + unmatched + Σ dropped", async () => {
	const figures = await relay.figures();
	const entry = input(figures);
	const dropped = Object.values(entry.droppedPackets).reduce((sum, count) => sum + count, 0);
	const byRules = figures.rules.reduce((sum, rule) => sum + rule.receivedPackets, 0);
	expect(entry.capturedFrames).toBe(byRules + entry.unmatchedPackets + dropped);
	expect(dropped).toBe(wrong.length * TIMES);
});

test("NO_OUTPUT: while the only output interface is down, what comes is received and dropped by that name", async () => {
	const before = await relay.figures();
	await lab.relay.ip("link", "set", "r1", "down");
	await until("the rule is not ACTIVE", async () => {
		const rule = (await relay.rules()).find((entry) => entry.name === "picky");
		return rule?.hosts[0]?.state === "PENDING" ? true : undefined;
	});
	const { after } = await captured(Array.from({ length: TIMES }, () => GOOD));
	const rule = after.rules.find((entry) => entry.name === "picky");
	expect(rule?.receivedPackets).toBe(received(before, "picky") + TIMES);
	expect(rule?.droppedPackets).toEqual({ NO_OUTPUT: TIMES });
	await lab.relay.ip("link", "set", "r1", "up");
	await until("the rule is ACTIVE again", async () => {
		const again = (await relay.rules()).find((entry) => entry.name === "picky");
		return again?.hosts[0]?.state === "ACTIVE" ? true : undefined;
	});
});

test("while one of two outputs is down, its share counts as failed, and the other loses nothing", async () => {
	const outputs = [
		{ interface: "r1", address: "239.10.2.1", port: 6001 },
		{ interface: "r2", address: "239.10.2.2", port: 6001 },
	];
	await relay.applyRules([
		{ name: "both", input: { interface: "r0", group: "239.1.1.2", port: 5001 }, outputs },
	]);
	const frames = Array.from({ length: TIMES }, () => ({ ...GOOD, destination: "239.1.1.2" }));
	await captured(frames);
	await lab.relay.ip("link", "set", "r1", "down");
	await until("the rule is not ACTIVE", async () => {
		const rule = (await relay.rules()).find((entry) => entry.name === "both");
		return rule?.hosts[0]?.state === "PENDING" ? true : undefined;
	});
	const { after } = await captured(frames);
	const rule = after.rules.find((entry) => entry.name === "both");
	expect(rule).toMatchObject({ receivedPackets: 2 * TIMES, forwardedPackets: 2 * TIMES, droppedPackets: {} });
	expect(rule?.outputs[0]).toMatchObject({
		eligiblePackets: 2 * TIMES,
		sentPackets: TIMES,
		failedPackets: TIMES,
	});
	expect(rule?.outputs[1]).toMatchObject({
		eligiblePackets: 2 * TIMES,
		sentPackets: 2 * TIMES,
		failedPackets: 0,
	});
	await lab.relay.ip("link", "set", "r1", "up");
});
