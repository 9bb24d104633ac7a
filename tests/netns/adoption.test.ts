import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { childrenOf } from "../e2e/up-processes.ts";
import { until } from "./lab/commands.ts";
import { assertAccounts, type Figures, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const BUILD = resolve(import.meta.dir, "../../build");
const KILLS = 10;
const FLOWS = 8;
/** Of each flow. */
const RATE = 1_000;
/** A supervisor that ran for so long is started again after the shortest wait. */
const FORGIVEN_MS = 2_000;
/** What a worker's batch that was under way may cost. */
const RESIDUE = 64;

let lab: Chain;
let relay: Relay;

beforeAll(async () => {
	lab = await chain();
	relay = new Relay(lab.relay);
	await relay.up("--workers", "2");
	await relay.applyRules(Array.from({ length: FLOWS }, (_, flow) => rule(flow)));
});

afterAll(async () => {
	await relay?.remove();
	await lab?.remove();
});

function rule(number: number) {
	return {
		name: `flow-${number}`,
		input: { interface: "r0", group: `239.1.1.${number + 1}`, port: 5001 },
		outputs: [{ interface: "r1", address: `239.10.1.${number + 1}`, port: 6001 }],
	};
}

function supervisorPid(): number | undefined {
	return childrenOf(relay.pid).get("supervisor");
}

async function workerPids(): Promise<number[]> {
	return (await relay.workers()).map(({ pid }) => pid);
}

async function untilActive(name: string): Promise<void> {
	await until(`${name} is ACTIVE`, async () => {
		const found = (await relay.rules()).find((each) => each.name === name);
		return found?.hosts[0]?.state === "ACTIVE" ? true : undefined;
	});
}

/** Kills the supervisor, has a rule added while it is away, and waits until its successor has applied it. */
async function killSupervisor(late: number): Promise<void> {
	const before = supervisorPid();
	if (before === undefined) throw new Error("no supervisor runs");
	process.kill(before, "SIGKILL");
	await relay.eachRule([rule(late)], "put");
	await until("its successor runs", () => {
		const now = supervisorPid();
		return now !== undefined && now !== before ? true : undefined;
	});
	await untilActive(rule(late).name);
}

/** Flows that go on until they are told to stop; answers how many were sent of all together. */
function startFlows(): () => Promise<number> {
	const child = lab.src.start([
		...[`${BUILD}/sluice-gen`, "--json", "--to", "s0:239.1.1.1:5001", "--no-segment"],
		...["--rate", `${RATE}`, "--streams", `${FLOWS}`, "--size", "1400", "--count", "0"],
	]);
	return async () => {
		child.kill("SIGTERM");
		return Number((JSON.parse(await child.stdout.text()) as { sentPackets: string }).sentPackets);
	};
}

function capturedIn({ interfaces }: Figures): number {
	return interfaces[0]?.capturedFrames ?? 0;
}

function assertNoStepBack(before: Figures, after: Figures): void {
	for (const { name, receivedPackets, outputs } of before.rules) {
		const later = after.rules.find((each) => each.name === name);
		expect(later?.receivedPackets ?? 0).toBeGreaterThanOrEqual(receivedPackets);
		expect(later?.outputs[0]?.sentPackets ?? 0).toBeGreaterThanOrEqual(outputs[0]?.sentPackets ?? 0);
	}
	expect(after.interfaces[0]?.capturedFrames ?? 0).toBeGreaterThanOrEqual(
		before.interfaces[0]?.capturedFrames ?? 0,
	);
}

test("ten supervisors are killed under traffic: the workers go on, and the next one takes them over", async () => {
	const workers = await workerPids();
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", streams: FLOWS });
	const stopFlows = startFlows();
	let figures = await relay.figures();
	for (let kill = 0; kill < KILLS; kill += 1) {
		const startedMs = Date.now();
		await killSupervisor(FLOWS + kill);
		expect(await workerPids()).toEqual(workers);
		// What is lost or repeated can only be seen while something flows. Published each second.
		const later = await until("more was captured", async () => {
			const now = await relay.figures();
			assertNoStepBack(figures, now);
			return capturedIn(now) > capturedIn(figures) ? now : undefined;
		});
		figures = later;
		await Bun.sleep(Math.max(0, startedMs + FORGIVEN_MS + 500 - Date.now()));
	}
	const sent = await stopFlows();
	figures = await relay.figuresAfter(sent);
	const report = await receiver.stop();
	expect([faults(report), report.receivedPackets]).toEqual([NO_FAULTS, sent]);
	const received = figures.rules.reduce((sum, each) => sum + each.receivedPackets, 0);
	// Each of them was away and back for longer than a second of it.
	expect(sent).toBeGreaterThan(KILLS * FLOWS * RATE);
	expect([received, capturedIn(figures)]).toEqual([sent, sent]);
	console.log(`${KILLS} supervisors killed, ${sent} sent: 0 lost, 0 twice`);
	assertAccounts(figures);
	for (const { restarts, state } of await relay.workers()) expect([restarts, state]).toEqual([0, "RUNNING"]);
}, 180_000);

test("a supervisor and a worker die together: the survivor stays, the other one's ring is read on", async () => {
	const [stays, dies] = await relay.workers();
	if (stays === undefined || dies === undefined) throw new Error("two workers were asked for");
	const before = (await relay.figures()).interfaces[0]?.capturedFrames ?? 0;
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", streams: FLOWS });
	const sending = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 500, count: 1_500, streams: FLOWS });
	await until("traffic flows", async () =>
		((await relay.figures()).interfaces[0]?.capturedFrames ?? 0) > before ? true : undefined,
	);
	const old = supervisorPid() ?? 0;
	process.kill(old, "SIGKILL");
	process.kill(dies.pid, "SIGKILL");
	await until("two workers run", async () => {
		const workers = await relay.workers();
		if (supervisorPid() === old || workers.some(({ state }) => state !== "RUNNING")) return undefined;
		expect(workers.some(({ pid }) => pid === stays.pid)).toBe(true);
		return workers.some(({ pid }) => pid === dies.pid) ? undefined : true;
	});
	await sending;
	const figures = await until("all is counted", async () => {
		const now = await relay.figures();
		return (now.interfaces[0]?.capturedFrames ?? 0) >= before + FLOWS * 1_500 - RESIDUE ? now : undefined;
	});
	const report = await receiver.stop();
	expect(report.lostPackets - report.receiverDroppedPackets).toBeLessThanOrEqual(RESIDUE);
	expect(report.duplicatedPackets).toBeLessThanOrEqual(RESIDUE);
	expect(figures.interfaces[0]?.kernelDroppedFrames).toBe(0);
	assertAccounts(figures);
});
