import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { release } from "node:os";
import { standStill } from "@sluice/lib/testing/signals";
import { parentOf, ranMs, successorOf, supervisorOf } from "../e2e/up-processes.ts";
import { until } from "./lab/commands.ts";
import { assertAccounts, type Figures, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, NO_FAULTS, sendWhile, streamRule } from "./lab/traffic.ts";

const KILLS = 10;
const FLOWS = 8;
/** A supervisor that ran for 2 s is started again after the shortest wait; the kernel's clock is a coarse one. */
const FORGIVEN_MS = 2_050;
/** What the one send call may cost that a killed worker was just about to make. */
const RESIDUE = 64;

let lab: Chain;
let relay: Relay;

async function start(workers: number): Promise<void> {
	lab = await chain();
	relay = new Relay(lab.relay);
	await relay.up("--workers", `${workers}`);
	await relay.applyRules(Array.from({ length: FLOWS }, (_, stream) => streamRule(stream)));
}

async function end(): Promise<void> {
	await relay?.remove();
	await lab?.remove();
}

const supervisorPid = () => supervisorOf(relay.pid);

async function workerPids(): Promise<number[]> {
	return (await relay.workers()).map(({ pid }) => pid);
}

/** How often each worker was started again, and how the last one ended. */
async function ends(): Promise<[number, string][]> {
	return (await relay.workers()).map(({ restarts, lastExit }) => [restarts, lastExit]);
}

/** How another's child ended, from Linux 6.15 on. */
const KERNEL_TELLS = Bun.semver.satisfies(release().split("-")[0] ?? "", ">=6.15.0");

function logged(text: string): number {
	return relay.log.split(text).length - 1;
}

/** And others than these. */
async function untilAllRun(others: readonly number[]): Promise<void> {
	await until("all workers run", async () => {
		const workers = await relay.workers();
		return workers.every(({ state, pid }) => state === "RUNNING" && !others.includes(pid)) ? true : undefined;
	});
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
	process.kill(before, "SIGKILL");
	await relay.eachRule([streamRule(late)], "put");
	await successorOf(before, relay.pid);
	await untilActive(streamRule(late).name);
}

function capturedIn({ interfaces }: Figures): number {
	return interfaces[0]?.capturedFrames ?? 0;
}

function receivedIn({ rules }: Figures): number {
	return rules.reduce((sum, { receivedPackets }) => sum + receivedPackets, 0);
}

function assertNoStepBack(before: Figures, after: Figures): void {
	for (const { name, receivedPackets, outputs } of before.rules) {
		const later = after.rules.find((each) => each.name === name);
		expect(later?.receivedPackets ?? 0).toBeGreaterThanOrEqual(receivedPackets);
		expect(later?.outputs[0]?.sentPackets ?? 0).toBeGreaterThanOrEqual(outputs[0]?.sentPackets ?? 0);
	}
	expect(capturedIn(after)).toBeGreaterThanOrEqual(capturedIn(before));
}

/** What is lost or repeated can only be seen while something flows; figures are published each second. */
async function moreThan(before: Figures): Promise<Figures> {
	return until("more was captured", async () => {
		const now = await relay.figures();
		assertNoStepBack(before, now);
		return capturedIn(now) > capturedIn(before) ? now : undefined;
	});
}

/** While each flow has so many datagrams a second; each is counted once, sent once, and but for `residue` received. */
async function underTraffic(
	rate: number,
	residue: number,
	act: (before: Figures) => Promise<void>,
): Promise<number> {
	const before = await relay.figures();
	const {
		sent: { sentPackets: sent },
		known: figures,
		report,
	} = await sendWhile(
		lab,
		{ rate, streams: FLOWS },
		async () => act(await moreThan(before)),
		(sentPackets) => relay.figuresAfter(receivedIn(before) + sentPackets),
	);
	const { lost, ...others } = faults(report);
	expect({ ...others, lost: 0 }).toEqual(NO_FAULTS);
	expect(lost).toBeLessThanOrEqual(residue);
	expect(report.receivedPackets + lost).toBe(sent);
	expect([receivedIn(figures) - receivedIn(before), capturedIn(figures) - capturedIn(before)]).toEqual([
		sent,
		sent,
	]);
	expect(figures.interfaces[0]?.kernelDroppedFrames).toBe(0);
	assertAccounts(figures);
	console.log(`measured: ${sent} sent, ${lost} lost, 0 twice`);
	return sent;
}

describe("two workers", () => {
	beforeAll(() => start(2));
	afterAll(end);

	test("ten supervisors are killed under traffic: the workers go on, and the next one takes them over", async () => {
		const workers = await workerPids();
		const rate = 1_000;
		const sent = await underTraffic(rate, 0, async (before) => {
			let figures = before;
			for (let kill = 0; kill < KILLS; kill += 1) {
				await killSupervisor(FLOWS + kill);
				expect(await workerPids()).toEqual(workers);
				figures = await moreThan(figures);
				await until("its end is forgiven", () => ranMs(supervisorPid()) > FORGIVEN_MS || undefined);
			}
		});
		// Each of them was away and back for longer than a second of it.
		expect(sent).toBeGreaterThan(KILLS * FLOWS * rate);
		for (const { restarts, state } of await relay.workers())
			expect([restarts, state]).toEqual([0, "RUNNING"]);
	}, 180_000);

	test("a supervisor is killed while it takes over: the third one has the same workers", async () => {
		const workers = await workerPids();
		await underTraffic(1_000, 0, async (before) => {
			let supervisor = supervisorPid();
			for (let kill = 0; kill < 3; kill += 1) {
				process.kill(supervisor, "SIGKILL");
				supervisor = await successorOf(supervisor, relay.pid);
			}
			await relay.eachRule([streamRule(100)], "put");
			await untilActive(streamRule(100).name);
			await moreThan(before);
		});
		expect(await workerPids()).toEqual(workers);
	}, 120_000);

	test("a worker that was taken over dies: it is handed over and settled like any other", async () => {
		const [stays, dies] = await workerPids();
		await underTraffic(1_000, RESIDUE, async (before) => {
			const seen = logged("worker is running");
			process.kill(supervisorPid(), "SIGKILL");
			await until("both are taken over", () => (logged("worker is running") === seen + 2 ? true : undefined));
			process.kill(dies ?? 0, "SIGKILL");
			await untilAllRun([dies ?? 0]);
			expect((await workerPids())[0]).toBe(stays ?? 0);
			await moreThan(before);
		});
		expect(await ends()).toEqual([
			[0, ""],
			[1, KERNEL_TELLS ? "SIGKILL" : "ended"],
		]);
	}, 120_000);

	test("restarts are counted on after the end of a supervisor, and of its keeper", async () => {
		const known = await ends();
		const counts = known.map(([restarts]) => restarts);
		expect(counts).toEqual([0, 1]);
		for (const [late, victim] of [supervisorPid, () => parentOf(supervisorPid())].entries()) {
			const before = supervisorPid();
			process.kill(victim(), "SIGKILL");
			await relay.eachRule([streamRule(200 + late)], "put");
			await successorOf(before, relay.pid);
			await untilActive(streamRule(200 + late).name);
			expect((await ends()).map(([restarts]) => restarts)).toEqual(counts);
			if (late === 0) expect(await ends()).toEqual(known);
		}
	}, 120_000);

	test("a worker dies while there is no supervisor: the next one gives what it drove to the survivor", async () => {
		for (const core of [0, 1, 0]) {
			const workers = await workerPids();
			const dies = workers[core] ?? 0;
			const counts = (await ends()).map(([restarts]) => restarts);
			await underTraffic(1_000, RESIDUE, async (before) => {
				const supervisor = supervisorPid();
				process.kill(supervisor, "SIGKILL");
				process.kill(dies, "SIGKILL");
				await successorOf(supervisor, relay.pid);
				await untilAllRun([dies]);
				expect((await workerPids())[1 - core]).toBe(workers[1 - core] ?? 0);
				await moreThan(before);
			});
			counts[core] = (counts[core] ?? 0) + 1;
			const told = await ends();
			expect(told.map(([restarts]) => restarts)).toEqual(counts);
			expect(told[core]?.[1]).toBe(KERNEL_TELLS ? "SIGKILL" : "ended");
		}
		expect(relay.log.match(/"shards":1,"handedOver":1.*ended without a supervisor/g)).toHaveLength(3);
	}, 120_000);

	test("a worker that the keeper was not told of is ended, and its shards go on", async () => {
		const keeper = parentOf(supervisorPid());
		await standStill(keeper);
		// Two messages each: more than the keeper's socket holds.
		for (let kill = 0; kill < 6; kill += 1) {
			const [, dies = 0] = await workerPids();
			process.kill(dies, "SIGKILL");
			await untilAllRun([dies]);
		}
		process.kill(keeper, "SIGCONT");
		const [stays = 0, unknown = 0] = await workerPids();
		const supervisor = supervisorPid();
		process.kill(supervisor, "SIGKILL");
		await successorOf(supervisor, relay.pid);
		await untilAllRun([unknown]);
		expect((await workerPids())[0]).toBe(stays);
		await until("it is ended, and waited for", () => !existsSync(`/proc/${unknown}`) || undefined);
		await underTraffic(1_000, 0, async (before) => void (await moreThan(before)));
	}, 120_000);
});

describe("one worker", () => {
	beforeAll(() => start(1));
	afterAll(end);

	test("it dies while there is no supervisor: its ring holds what comes, and its successor reads on", async () => {
		for (let kill = 0; kill < 3; kill += 1) {
			const [dies = 0] = await workerPids();
			await underTraffic(250, RESIDUE, async (before) => {
				const supervisor = supervisorPid();
				process.kill(supervisor, "SIGKILL");
				process.kill(dies, "SIGKILL");
				await successorOf(supervisor, relay.pid);
				await untilAllRun([dies]);
				await moreThan(before);
			});
		}
	}, 120_000);
});
