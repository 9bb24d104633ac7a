import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { until } from "./lab/commands.ts";
import { frame } from "./lab/frames.ts";
import { ETHERNET_BYTES, GOOD, HOSTILE, type HostileClass, VALID } from "./lab/hostile-frames.ts";
import { assertAccounts, type Figures, type InterfaceFigures } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const INJECT = resolve(import.meta.dir, "../../build/test-tools/inject");
const GOOD_PPS = 5_000;
const GOOD_COUNT = 30_000;
const HOSTILE_PPS = 5_000;
const ROUNDS = 40;
const RANDOM_FRAMES = 4_000;
const SEED = Number(process.env["SLUICE_SEED"] ?? 1 + Math.floor(Math.random() * 2 ** 31));

const { lab, relay } = await relayOnChain(["--workers", "2"], async ({ relay }) => {
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
});
const processes = await processesOf();

/** No frame ends a worker: these stay as they are from before the first. */
async function processesOf() {
	return (await relay.workers()).map(({ pid, restarts, lastExit }) => ({ pid, restarts, lastExit }));
}

/** The frame with other bytes from `at` on. */
function patched(hex: string, at: number, bytes: number[]): string {
	return hex.slice(0, 2 * at) + Buffer.from(bytes).toString("hex") + hex.slice(2 * (at + bytes.length));
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

function inputOf(figures: Figures): InterfaceFigures {
	const entry = figures.interfaces.find(({ interface: name }) => name === "r0");
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
	const received = (await relay.figures()).rules[0]?.receivedPackets ?? 0;
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: GOOD_COUNT });
	const good = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: GOOD_PPS, count: GOOD_COUNT });
	await lab.src.must([INJECT, "s0", `${HOSTILE_PPS}`], { input: frames.map((hex) => `${hex}\n`).join("") });
	await good;
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(GOOD_COUNT);
	expect(await processesOf()).toEqual(processes);
	assertAccounts(await relay.figuresAfter(received + GOOD_COUNT));
}

type Counts = Record<string, number>;

/** Everything that frames of r0 can be counted as. */
async function counts(): Promise<Counts> {
	const figures = await relay.figures();
	const { droppedPackets, unmatchedPackets, kernelDroppedFrames, capturedFrames } = inputOf(figures);
	const video = figures.rules[0];
	const output = video?.outputs[0];
	return {
		...droppedPackets,
		unmatched: unmatchedPackets,
		forwarded: video?.forwardedPackets ?? 0,
		sent: output?.sentPackets ?? 0,
		kernelDropped: kernelDroppedFrames,
		captured: capturedFrames,
	};
}

/** What so many rounds of these classes add to the counts, and of the good stream besides. */
function expected(before: Counts, classes: readonly HostileClass[], rounds: number, good: number): Counts {
	const after = { ...before };
	const add = (name: string, count: number) => {
		after[name] = (after[name] ?? 0) + count;
	};
	for (const name of ["captured", "forwarded", "sent"]) add(name, good);
	for (const [outcome] of classes.flatMap(({ frames }) => frames)) {
		if (outcome === "unseen") continue;
		add("captured", rounds);
		add(outcome, rounds);
		if (outcome === "forwarded") add("sent", rounds);
	}
	return after;
}

async function countsAfter(captured: number): Promise<Counts> {
	return until(`${captured} frames captured`, async () => {
		const now = await counts();
		return (now["captured"] ?? 0) >= captured ? now : undefined;
	});
}

for (const hostile of [...HOSTILE, VALID]) {
	const outcomes = [...new Set(hostile.frames.map(([outcome]) => outcome))].join(", ");
	test(`${hostile.what}: ${hostile.frames.length} frames, ${outcomes}`, async () => {
		const before = await counts();
		// Classes that nobody sees are followed by one frame that is: then they have come.
		const last: HostileClass = { what: "the last", frames: [["unmatched", frame({ ...GOOD, port: 5003 })]] };
		const wanted = expected(before, [hostile, last], 1, 0);
		const lines = [...hostile.frames, ...last.frames].map(([, hex]) => `${hex}\n`).join("");
		await lab.src.must([INJECT, "s0"], { input: lines });
		expect(await countsAfter(wanted["captured"] ?? 0)).toEqual(wanted);
	});
}

test(`all of them ${ROUNDS} times, ${HOSTILE_PPS} a second among a good stream, which loses nothing`, async () => {
	const wanted = expected(await counts(), HOSTILE, ROUNDS, GOOD_COUNT);
	const round = HOSTILE.flatMap(({ frames }) => frames.map(([, hex]) => hex));
	await amongGood(Array.from({ length: ROUNDS }, () => round).flat());
	expect(await countsAfter(wanted["captured"] ?? 0)).toEqual(wanted);
});

test(`random bytes (SLUICE_SEED=${SEED}) reach nobody, and the books balance`, async () => {
	const before = (await relay.figures()).rules[0]?.receivedPackets ?? 0;
	await amongGood(noise(RANDOM_FRAMES));
	const figures = await relay.figures();
	const entry = inputOf(figures);
	expect(figures.rules[0]?.receivedPackets).toBe(before + GOOD_COUNT);
	expect(entry.capturedFrames).toBe(
		(figures.rules[0]?.receivedPackets ?? 0) + entry.unmatchedPackets + sum(entry.droppedPackets),
	);
});
