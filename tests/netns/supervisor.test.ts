import { afterAll, beforeAll, expect, test } from "bun:test";
import { standStill } from "@sluice/lib/testing/signals";
import { argvOf, parentOf, processesIn } from "../e2e/up-processes.ts";
import { until } from "./lab/commands.ts";
import { assertAccounts, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

let lab: Chain;
let relay: Relay;

beforeAll(async () => {
	lab = await chain();
	relay = new Relay(lab.relay);
	// Room for the two rings of one interface, and for no more.
	await relay.up("--workers", "2", "--ring-memory", "7");
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
});

afterAll(async () => {
	await relay?.remove();
	await lab?.remove();
});

async function state(name: string) {
	return (await relay.rules()).find((rule) => rule.name === name)?.hosts[0];
}

async function untilActive(name: string): Promise<void> {
	await until(`${name} is ACTIVE`, async () => ((await state(name))?.state === "ACTIVE" ? true : undefined));
}

async function send(count: number): Promise<void> {
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count });
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count });
	expect(faults(await receiver.report())).toEqual(NO_FAULTS);
}

/** Supervisors and workers that run in the relay's namespace, by pid. */
async function relaying(): Promise<{ supervisors: number[]; workers: number[] }> {
	const pids = await processesIn(lab.relay);
	const running = (bundle: string) =>
		pids.filter((pid) => {
			const argv = argvOf(pid);
			// A keeper names what it keeps.
			return (
				argv.some((word) => word.endsWith(bundle)) && !argv.some((word) => word.endsWith("/sluice-keeper"))
			);
		});
	return { supervisors: running("/supervisor.js"), workers: running("/worker.js") };
}

test("a killed keeper's relay ends before another begins, whose figures go on where they were", async () => {
	await send(3_000);
	await relay.figuresAfter(3_000);
	const before = await relaying();
	const [slow = 0] = before.supervisors;
	const keeper = parentOf(slow);
	// It takes its time to end, so that the next keeper has to wait for it.
	await standStill(slow);
	process.kill(keeper, "SIGKILL");
	await until("another keeper waits", async () => {
		const { supervisors, workers } = await relaying();
		expect([supervisors, workers]).toEqual([before.supervisors, before.workers]);
		return relay.log.includes("waiting for the end of what another keeper left") ? true : undefined;
	});
	process.kill(slow, "SIGCONT");
	await until("others run", async () => {
		expect((await relay.figures()).rules[0]?.receivedPackets).toBe(3_000);
		const { supervisors, workers } = await relaying();
		const old = [...before.supervisors, ...before.workers];
		const among = [...supervisors, ...workers].map((pid) => old.includes(pid));
		// Never some of these and some of those.
		expect(new Set(among).size).toBeLessThanOrEqual(1);
		if (among.length === 0 || among.includes(true)) return undefined;
		return (await relay.workers()).every(({ state, pid }) => state === "RUNNING" && workers.includes(pid))
			? true
			: undefined;
	});
	await untilActive("video");
	await send(1_000);
	const figures = await relay.figuresAfter(4_000);
	expect(figures.rules[0]).toMatchObject({ receivedPackets: 4_000, forwardedPackets: 4_000 });
	expect(figures.rules[0]?.outputs[0]?.sentPackets).toBe(4_000);
	expect(figures.interfaces[0]?.capturedFrames).toBe(4_000);
	assertAccounts(figures);
});

test("workers whose supervisor and keeper are gone end by themselves, without an exception", async () => {
	const before = await relaying();
	const [supervisor = 0] = before.supervisors;
	const keeper = parentOf(supervisor);
	// It must not start another supervisor, which would take them over.
	await standStill(keeper);
	for (const pid of [supervisor, keeper]) process.kill(pid, "SIGKILL");
	await until("others run", async () => {
		const workers = await relay.workers();
		return workers.every(({ state, pid }) => state === "RUNNING" && !before.workers.includes(pid))
			? true
			: undefined;
	});
	expect(relay.log.match(/"supervisor and keeper are gone"/g)).toHaveLength(2);
	expect(relay.log).not.toContain("the packet thread was stopped");
	await untilActive("video");
});

test("workers that hang are started again, and send what their rings held meanwhile", async () => {
	const part = 1_000;
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: 3 * part });
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count: part });
	for (const { pid } of await relay.workers()) await standStill(pid);
	// Even these small rings hold this many.
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count: part, firstSequence: part });
	await until("both are started again", async () => {
		const workers = await relay.workers();
		return workers.every(({ state, restarts }) => state === "RUNNING" && restarts === 1) ? true : undefined;
	});
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count: part, firstSequence: 2 * part });
	expect(faults(await receiver.report())).toEqual(NO_FAULTS);
});

test("an interface beyond the ring memory is refused with what to do, and starts when there is room", async () => {
	await relay.cli("rule", "add", "more", "--in", "r2:239.1.1.1:5001", "--out", "r1:239.10.1.9:6001");
	expect(await state("more")).toMatchObject({
		state: "FAILED",
		reason: "ring memory limit 7 MiB reached: raise --ring-memory or remove rules from other interfaces",
	});
	expect((await state("video"))?.state).toBe("ACTIVE");
	await relay.sluice("rule", "remove", "video");
	await untilActive("more");
});
