import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { processesIn } from "../e2e/up-processes.ts";
import { until } from "./lab/commands.ts";
import { Demand } from "./lab/machine.ts";
import type { Namespace } from "./lab/namespace.ts";
import { assertAccounts, type Figures, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

/** So many copies of each datagram, cut by the relay's own CPU, make it the slowest part of the chain by far. */
const WIDTH = 256;
const FLOWS = 4;
const PAYLOAD_BYTES = 1_000;
const RAMP_FROM_PPS = 4_000;
const RAMP_SECONDS = 2;
const OVERLOAD_SECONDS = 4;
/** Of what is carried: more than the twice that is promised, since a busy machine slows the generator too. */
const OFFERED_TIMES = 3;
const TRIES = 3;
const MIB = 2 ** 20;
/** Rings have a fixed size; what else may come and go in a process is the garbage of its runtime. */
const GROWTH_LIMIT_BYTES = 48 * MIB;
/** What is promised of `rule list`; it takes a tenth of that on an idle machine. */
const ANSWER_LIMIT_MS = 1_000;
/** Threads that want a CPU, for each CPU; the overload's own are 2.0, and more are others'. */
const UNDISTURBED_DEMAND = 3;
const BUSY = "others keep both CPUs busy; run it alone";

const ASKING_PAUSE_MS = 200;

const OVERLOADED_PORT = 5001;
const AFTERWARDS_PORT = 5002;

let lab: Chain;
let relay: Relay;

/** One rule for each flow: from port 5001 to port 6001, or 5002 to 6002. */
function wideRules(name: string, port: number) {
	return Array.from({ length: FLOWS }, (_, flow) => ({
		name: `${name}-${flow}`,
		input: { interface: "r0", group: `239.1.1.${flow + 1}`, port },
		outputs: Array.from({ length: WIDTH }, (_, copy) => ({
			interface: copy % 2 ? "r2" : "r1",
			address: `239.20.${copy}.${flow + 1}`,
			port: port + 1_000,
		})),
	}));
}

beforeAll(async () => {
	lab = await chain();
	for (const device of ["r1", "r2"]) await lab.relay.ip("link", "set", device, "gso_max_segs", "1");
	relay = new Relay(lab.relay);
	// One, so that a core is left to offer more than a worker can carry: workers come before all others.
	await relay.up("--workers", "1");
	await relay.applyRules([
		...wideRules("overloaded", OVERLOADED_PORT),
		...wideRules("afterwards", AFTERWARDS_PORT),
	]);
});

afterAll(async () => {
	await relay?.remove();
	await lab?.remove();
});

/** What a veth pair had no room for: lost on the wire, so to speak, and counted there alone. */
async function lostOnWire(namespace: Namespace, device: string): Promise<number> {
	return Number(await namespace.read(`/sys/class/net/${device}/statistics/tx_dropped`));
}

function received(figures: Figures, rules: string): number {
	return figures.rules
		.filter(({ name }) => name.startsWith(rules))
		.reduce((sum, rule) => sum + rule.receivedPackets, 0);
}

/** Of the interface that everything comes in by. */
function capture(figures: Figures) {
	const found = figures.interfaces.find((entry) => entry.interface === "r0");
	if (found === undefined) throw new Error(`no figures of r0: ${JSON.stringify(figures.interfaces)}`);
	return found;
}

/** Total of everything that this test sent into r0. */
let sentSoFar = 0;

/** Figures in which every frame that reached r0 is accounted for. */
async function settledFigures(): Promise<Figures> {
	return until("every datagram is captured or counted as dropped by the kernel", async () => {
		const figures = await relay.figures();
		const { capturedFrames, kernelDroppedFrames } = capture(figures);
		const wire = await lostOnWire(lab.src, "s0");
		return capturedFrames + kernelDroppedFrames === sentSoFar - wire ? figures : undefined;
	});
}

async function offer(port: number, packetsPerSecond: number, seconds: number) {
	const rate = Math.round(packetsPerSecond / FLOWS);
	const report = await gen(lab.src, {
		...{ to: `s0:239.1.1.1:${port}`, rate, count: rate * seconds, streams: FLOWS },
		...{ size: PAYLOAD_BYTES, burst: 8 },
	});
	sentSoFar += report.sentPackets;
	return report;
}

/**
 * Twice as much each time, until the relay cannot carry it: what it then carries in a second. An upper bound,
 * since it counts what the rings held at the end: twice that is more than twice what the relay carries.
 */
async function measureCarriedPps(): Promise<number> {
	for (let offeredPps = RAMP_FROM_PPS; ; offeredPps *= 2) {
		const before = received(await relay.figures(), "overloaded");
		const { packetsPerSecond } = await offer(OVERLOADED_PORT, offeredPps, RAMP_SECONDS);
		const figures = await settledFigures();
		const carriedPps = (received(figures, "overloaded") - before) / RAMP_SECONDS;
		if (carriedPps < 0.9 * packetsPerSecond) return carriedPps;
	}
}

/** Resident bytes of every process of the relay. */
async function residentBytes(): Promise<Map<number, number>> {
	const sizes = new Map<number, number>();
	for (const pid of await processesIn(lab.relay)) {
		try {
			const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
			if (line !== undefined) sizes.set(pid, Number(line) * 1_024);
		} catch {
			// A command that ended meanwhile.
		}
	}
	return sizes;
}

interface Asked {
	/** From the start of the command until its end. */
	commandsMs: number[];
	/** From the request until control-api's answer, on a connection that is there already. */
	answersMs: number[];
}

/** Asks again and again while it lasts, and answers how long each answer took. */
async function askWhile(lasts: () => boolean): Promise<Asked> {
	const commandsMs: number[] = [];
	const lister = relay.listRulesUntilEnded();
	while (lasts()) {
		const start = performance.now();
		expect(await relay.rules()).toHaveLength(2 * FLOWS);
		commandsMs.push(Math.round(performance.now() - start));
		// Commands come before the generator, and one after the other they would leave it half a core.
		await Bun.sleep(ASKING_PAUSE_MS);
	}
	const answersMs = await lister.end();
	for (const times of [commandsMs, answersMs]) times.sort((a, b) => a - b);
	return { commandsMs, answersMs };
}

/** The overload with a receiver of its first output; and then, rings empty again, what the relay can carry. */
async function overload(carriedPps: number) {
	const before = await settledFigures();
	const wireBefore = await lostOnWire(lab.relay, "r1");
	// They are told when to end.
	const overloaded = await recv(lab.dst, { in: "d0:239.20.0.1:6001", streams: FLOWS, idleSeconds: 60 });
	const afterwards = await recv(lab.dst, { in: "d0:239.20.0.1:6002", streams: FLOWS, idleSeconds: 60 });
	let flowing = true;
	const offered = offer(OVERLOADED_PORT, OFFERED_TIMES * carriedPps, OVERLOAD_SECONDS).finally(() => {
		flowing = false;
	});
	const demanded = new Demand();
	const asked = await askWhile(() => flowing);
	const demand = demanded.end();
	const { sentPackets, packetsPerSecond } = await offered;
	const between = await settledFigures();
	const again = await offer(AFTERWARDS_PORT, carriedPps / 2, RAMP_SECONDS);
	return {
		...{ before, between, wireBefore, figures: await settledFigures() },
		...{ sentPackets, packetsPerSecond, asked, demand, packetsAgain: again.sentPackets },
		report: await overloaded.complete(),
		afterReport: await afterwards.complete(),
	};
}

/** Until the generator's own count says that it was twice what the relay carries: others may have slowed it. */
async function overloadTwofold(carriedPps: number) {
	for (let tries = 1; ; tries++) {
		const result = await overload(carriedPps);
		if (tries === TRIES || result.packetsPerSecond >= 2 * carriedPps) return result;
	}
}

/** Sent to the output that the receiver listens to, over all flows. */
function sentByRelay(figures: Figures): number {
	return figures.rules
		.filter(({ name }) => name.startsWith("overloaded"))
		.reduce((sum, rule) => sum + (rule.outputs[0]?.sentPackets ?? 0), 0);
}

function assertCapture(figures: Figures): void {
	const { capturedFrames, unmatchedPackets, droppedPackets } = capture(figures);
	const dropped = Object.values(droppedPackets).reduce((sum, count) => sum + count, 0);
	expect(capturedFrames).toBe(received(figures, "") + unmatchedPackets + dropped);
}

test("offered twice what it carries: memory bounded, control responsive, all accounted for, and back at once", async () => {
	const carriedPps = await measureCarriedPps();
	const residentBefore = await residentBytes();
	const result = await overloadTwofold(carriedPps);
	const { before, between, figures, report, afterReport, asked, demand } = result;
	const residentAfter = await residentBytes();
	const growths = Array.from(residentBefore, ([pid, bytes]) => (residentAfter.get(pid) ?? 0) - bytes);
	const drops = capture(between).kernelDroppedFrames - capture(before).kernelDroppedFrames;
	const carried = received(between, "overloaded") - received(before, "overloaded");
	console.log(
		[
			`measured: carries ${Math.round(carriedPps)} pps × ${WIDTH}; offered ${Math.round(result.packetsPerSecond)},`,
			`sent ${result.sentPackets}, carried ${carried}, kernel drops ${drops}, receiver's own ${report.receiverDroppedPackets};`,
			`${demand.toFixed(2)} threads for each CPU; rule list after ${asked.commandsMs.join(" ")} ms, answered in ${asked.answersMs.join(" ")} ms;`,
			`memory grew by ${growths.map((bytes) => (bytes / MIB).toFixed(1)).join(" ")} MiB`,
		].join(" "),
	);

	// Twice what it carries, of what the ramp said and of what it did carry meanwhile, rings included.
	const times = Math.min(result.packetsPerSecond / carriedPps, result.sentPackets / carried);
	if (demand < UNDISTURBED_DEMAND) expect(times).toBeGreaterThanOrEqual(2);
	else if (times < 2)
		console.log(`not held: ${times.toFixed(1)} times what is carried was offered, not twice: ${BUSY}`);
	// The kernel's drops are its whole cost, and the rest is accounted for everywhere.
	assertAccounts(figures);
	assertCapture(figures);
	const missing =
		sentByRelay(figures) - sentByRelay(before) - report.receivedPackets - report.receiverDroppedPackets;
	expect(missing).toBeGreaterThanOrEqual(0);
	expect(missing).toBeLessThanOrEqual((await lostOnWire(lab.relay, "r1")) - result.wireBefore);
	expect([report.duplicatedPackets, report.reorderedPackets, report.corruptPackets]).toEqual([0, 0, 0]);

	// Back at half of what it carries, from the first datagram on.
	expect(received(figures, "afterwards") - received(before, "afterwards")).toBe(result.packetsAgain);
	expect(capture(figures).kernelDroppedFrames).toBe(capture(between).kernelDroppedFrames);
	expect([faults(afterReport), afterReport.receivedPackets]).toEqual([NO_FAULTS, result.packetsAgain]);

	for (const times of [asked.commandsMs, asked.answersMs]) expect(times.length).toBeGreaterThan(2);
	expect(asked.answersMs.at(-1)).toBeLessThan(ANSWER_LIMIT_MS);
	// A command is a process that has to start, beside whatever else the machine does.
	const slowestMs = asked.commandsMs.at(-1) ?? 0;
	if (demand < UNDISTURBED_DEMAND) expect(slowestMs).toBeLessThan(ANSWER_LIMIT_MS);
	else if (slowestMs >= ANSWER_LIMIT_MS) console.log(`not held: a rule list took ${slowestMs} ms: ${BUSY}`);
	for (const growth of growths) expect(growth).toBeLessThan(GROWTH_LIMIT_BYTES);
}, 300_000);
