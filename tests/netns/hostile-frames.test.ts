import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { until } from "./lab/commands.ts";
import { type FrameOptions, frame } from "./lab/frames.ts";
import { assertAccounts, type InterfaceFigures, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const INJECT = resolve(import.meta.dir, "../../build/test-tools/inject");
const GOOD_PPS = 5_000;
const GOOD_COUNT = 30_000;
const HOSTILE_PPS = 5_000;
const ROUNDS = 40;
const RANDOM_FRAMES = 4_000;
const SEED = Number(process.env["SLUICE_SEED"] ?? 1 + Math.floor(Math.random() * 2 ** 31));

let lab: Chain;
let relay: Relay;

beforeAll(async () => {
	lab = await chain();
	relay = new Relay(lab.relay);
	await relay.up("--workers", "2");
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
});

afterAll(async () => {
	await relay?.remove();
	await lab?.remove();
});

const GOOD: FrameOptions = { destination: "239.1.1.1", port: 5001 };
const ETHERNET_BYTES = 14;
const IP_BYTES = 34;

/** The frame with other bytes from `at` on. */
function patched(hex: string, at: number, bytes: number[]): string {
	return hex.slice(0, 2 * at) + Buffer.from(bytes).toString("hex") + hex.slice(2 * (at + bytes.length));
}

/** Frames that the destination filter lets through, each under the name it must be counted by. */
function named(): [string, string][] {
	const valid = frame(GOOD);
	const wrong: [string, FrameOptions][] = [
		["BAD_IP_HEADER", { ...GOOD, version: 6 }],
		["BAD_IP_HEADER", { ...GOOD, headerWords: 0 }],
		["BAD_IP_HEADER", { ...GOOD, headerWords: 4 }],
		["SHORT_FRAME", { ...GOOD, headerWords: 15, cut: 60 }],
		["BAD_IP_HEADER", { ...GOOD, totalLength: 19 }],
		["BAD_IP_HEADER", { ...GOOD, totalLength: 65535 }],
		["BAD_IP_CHECKSUM", { ...GOOD, ipChecksum: 0x1234 }],
		["FRAGMENT", { ...GOOD, fragment: 0x2000 }],
		["FRAGMENT", { ...GOOD, fragment: 0x3fff }],
		["FRAGMENT", { ...GOOD, fragment: 0x0001 }],
		["NOT_UDP", { ...GOOD, protocol: 1 }],
		["NOT_UDP", { ...GOOD, protocol: 255 }],
		["BAD_UDP_LENGTH", { ...GOOD, udpLength: 0 }],
		["BAD_UDP_LENGTH", { ...GOOD, udpLength: 7 }],
		["BAD_UDP_LENGTH", { ...GOOD, udpLength: 65535 }],
		["BAD_UDP_CHECKSUM", { ...GOOD, udpChecksum: 0x4321 }],
		...[[0x8100, 0x88a8] as const, [0x88a8, 0x8100] as const, [0x8100, 0x8100] as const].map(
			([outer, inner]): [string, FrameOptions] => [
				"DOUBLE_TAGGED",
				{
					...GOOD,
					tags: [
						[outer, 5],
						[inner, 7],
					],
				},
			],
		),
		["unmatched", { ...GOOD, tags: [[0x8100, 7]] }],
		["unmatched", { ...GOOD, port: 5002 }],
	];
	const whole = valid.length / 2;
	// Shorter, the frame has no whole destination address: it never enters a ring.
	const cuts = Array.from({ length: whole - IP_BYTES }, (_, at): [string, FrameOptions] => [
		"BAD_IP_HEADER",
		{ ...GOOD, cut: IP_BYTES + at },
	]);
	return [...wrong, ...cuts].map(([name, options]) => [name, frame(options)]);
}

/** Frames that are none of the relay's business: no ring ever holds one. */
function unseen(): string[] {
	const valid = frame(GOOD);
	const cuts = Array.from({ length: IP_BYTES - ETHERNET_BYTES }, (_, at) =>
		frame({ ...GOOD, cut: ETHERNET_BYTES + at }),
	);
	return [
		...cuts,
		patched(valid, 12, [0x08, 0x06]), // ARP
		patched(valid, 12, [0x86, 0xdd]), // IPv6
		patched(valid, 12, [0x00, 0x2e]), // 802.3 length
		frame({ ...GOOD, destination: "239.1.1.2" }),
	];
}

/** Mulberry32. */
function random(seed: number): () => number {
	let state = seed;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return (mixed ^ (mixed >>> 14)) >>> 0;
	};
}

/**
 * Random bytes, and frames of the rule's group with some bytes of their headers replaced. Those are for a
 * port that no rule has and that is left alone: what is valid by chance has no output either.
 */
function noise(count: number): string[] {
	const next = random(SEED);
	const valid = frame({ ...GOOD, port: 5002 });
	const DESTINATION_AND_PORT = [30, 31, 32, 33, 36, 37];
	return Array.from({ length: count }, (_, index) => {
		if (index % 2 === 0)
			return Buffer.from(Array.from({ length: 20 + (next() % 300) }, () => next() & 255)).toString("hex");
		let hex = valid;
		for (let change = 1 + (next() % 4); change > 0; change--) {
			const at = ETHERNET_BYTES + (next() % 28);
			if (!DESTINATION_AND_PORT.includes(at)) hex = patched(hex, at, [next() & 255]);
		}
		return hex;
	});
}

async function input(): Promise<InterfaceFigures> {
	const entry = (await relay.figures()).interfaces.find(({ interface: name }) => name === "r0");
	return (
		entry ?? {
			interface: "r0",
			capturedFrames: 0,
			kernelDroppedFrames: 0,
			unmatchedPackets: 0,
			droppedPackets: {},
		}
	);
}

function sum(counts: Record<string, number>): number {
	return Object.values(counts).reduce((total, count) => total + count, 0);
}

/** The good stream, with `frames` on the same wire meanwhile: it must lose nothing. */
async function amongGood(frames: string[]): Promise<void> {
	const before = await relay.workers();
	const received = (await relay.figures()).rules[0]?.receivedPackets ?? 0;
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: GOOD_COUNT });
	const good = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: GOOD_PPS, count: GOOD_COUNT });
	await lab.src.must([INJECT, "s0", `${HOSTILE_PPS}`], { input: frames.map((hex) => `${hex}\n`).join("") });
	await good;
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(GOOD_COUNT);
	const after = await relay.workers();
	expect(after.map(({ pid, restarts }) => ({ pid, restarts }))).toEqual(
		before.map(({ pid }) => ({ pid, restarts: 0 })),
	);
	assertAccounts(await relay.figuresAfter(received + GOOD_COUNT));
}

test(`every wrong frame is counted under its name, ${HOSTILE_PPS} a second among a good stream`, async () => {
	const before = await input();
	const cases = named();
	const frames = Array.from({ length: ROUNDS }, () => [...cases.map(([, hex]) => hex), ...unseen()]).flat();
	await amongGood(frames);
	const captured = before.capturedFrames + GOOD_COUNT + ROUNDS * cases.length;
	const after = await until(`${captured} frames captured`, async () => {
		const figures = await input();
		return figures.capturedFrames >= captured ? figures : undefined;
	});
	const expected: Record<string, number> = {};
	for (const [name] of cases) expected[name] = (expected[name] ?? 0) + ROUNDS;
	const counted: Record<string, number> = { ...after.droppedPackets, unmatched: after.unmatchedPackets };
	expect(counted).toEqual(expected);
	expect(after.capturedFrames).toBe(captured);
	expect(after.kernelDroppedFrames).toBe(0);
});

test(`random bytes (SLUICE_SEED=${SEED}) reach nobody, and the books balance`, async () => {
	const before = (await relay.figures()).rules[0]?.receivedPackets ?? 0;
	await amongGood(noise(RANDOM_FRAMES));
	const figures = await relay.figures();
	const entry = await input();
	expect(figures.rules[0]?.receivedPackets).toBe(before + GOOD_COUNT);
	expect(entry.capturedFrames).toBe(
		(figures.rules[0]?.receivedPackets ?? 0) + entry.unmatchedPackets + sum(entry.droppedPackets),
	);
});
