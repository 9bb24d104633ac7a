import { afterEach, expect, test } from "bun:test";
import { appendFileSync, copyFileSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { until } from "./lab/commands.ts";
import { assertAccounts, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, NO_FAULTS, sendWhile, streamRule } from "./lab/traffic.ts";

const FLOWS = 8;

let lab: Chain;
let relay: Relay;
let putBack: () => void = () => {};

afterEach(async () => {
	await relay?.remove();
	await lab?.remove();
	putBack();
	putBack = () => {};
});

async function start(workers: number): Promise<void> {
	lab = await chain();
	relay = new Relay(lab.relay);
	await relay.up("--workers", `${workers}`);
	await relay.applyRules(Array.from({ length: FLOWS }, (_, stream) => streamRule(stream)));
}

/** Sends all the while; every datagram must arrive once, in order, and be counted once. */
async function losesNothing(rate: number, act: () => Promise<void>): Promise<void> {
	const stream = { rate, streams: FLOWS };
	const {
		sent,
		known: figures,
		report,
	} = await sendWhile(lab, stream, act, (count) => relay.figuresAfter(count));
	expect([faults(report), report.receivedPackets]).toEqual([NO_FAULTS, sent.sentPackets]);
	assertAccounts(figures);
	expect(figures.rules.map(({ receivedPackets }) => receivedPackets)).toEqual(
		report.streams.map(({ receivedPackets }) => receivedPackets),
	);
	expect(figures.interfaces[0]?.kernelDroppedFrames).toBe(0);
}

async function pids(): Promise<number[]> {
	return (await relay.workers()).map(({ pid }) => pid);
}

/** Inodes of the library that a process has mapped. */
function libraryOf(pid: number): number[] {
	const mapped = readFileSync(`/proc/${pid}/maps`, "utf8").split("\n");
	const inodes = mapped
		.filter((line) => /\/libsluice\.so( |$)/.test(line))
		.map((line) => line.split(/ +/)[4]);
	return [...new Set(inodes.map(Number))];
}

function stagedLibrary(): string {
	return `${/"stage":"([^"]+)"/.exec(relay.log)?.[1]}/libsluice.so`;
}

/** Puts another library on the stage, as docs/cli.md says; `putBack` undoes it. */
function replaceLibrary(change: (path: string) => void): number {
	const library = stagedLibrary();
	const kept = readFileSync(library);
	const install = (write: (path: string) => void) => {
		write(`${library}.new`);
		renameSync(`${library}.new`, library);
	};
	putBack = () => install((path) => writeFileSync(path, kept));
	install((path) => {
		copyFileSync(library, path);
		change(path);
	});
	return statSync(library).ino;
}

test("two workers are replaced in turn, then again with another library: nothing is lost", async () => {
	await start(2);
	const before = await pids();
	await losesNothing(2_500, async () => {
		const lines = (await relay.sluice("worker", "restart")).trimEnd().split("\n");
		const between = await pids();
		for (const [worker, pid] of before.entries()) {
			expect(lines[worker]).toMatch(
				new RegExp(
					`^worker ${worker} of relay-a: process ${between[worker]} for ${pid}, RUNNING after \\d+ ms$`,
				),
			);
		}
		const inode = replaceLibrary((path) => appendFileSync(path, "another version"));
		for (const pid of between) expect(libraryOf(pid)).not.toContain(inode);
		const answers = (await relay.sluice("worker", "restart", "--host", "relay-a", "--json"))
			.trimEnd()
			.split("\n");
		const after = await pids();
		expect(answers.map((line) => JSON.parse(line))).toEqual(
			between.map((formerPid, worker) =>
				expect.objectContaining({
					formerPid,
					worker: expect.objectContaining({ worker, pid: after[worker], state: "RUNNING", restarts: 2 }),
				}),
			),
		);
		for (const pid of after) expect(libraryOf(pid)).toEqual([inode]);
	});
}, 120_000);

test("the only worker is replaced: its rings hold what comes until its successor runs", async () => {
	await start(1);
	const before = await pids();
	await losesNothing(500, async () => {
		await relay.sluice("worker", "restart", "0");
		expect(await pids()).not.toEqual(before);
	});
}, 120_000);

test("a successor that does not come up ends it before the next worker's turn, and nothing is lost", async () => {
	await start(2);
	const before = await pids();
	await losesNothing(1_250, async () => {
		replaceLibrary((path) => writeFileSync(path, "no library"));
		const outcome = await relay.cli("worker", "restart");
		expect([outcome.code, outcome.stdout]).toEqual([1, ""]);
		expect(outcome.stderr).toMatch(
			/^sluice: the successor of worker 0 of relay-a does not come up, it ended with exit 1: [^\n]+\n$/,
		);
		expect((await pids())[1]).toBe(before[1] ?? 0);
		const refused = await relay.cli("worker", "restart", "1");
		expect([refused.code, refused.stderr]).toEqual([
			1,
			expect.stringMatching(/^sluice: worker 0 of relay-a is \w+: try again when all workers run\n$/),
		]);
		putBack();
		await until("the successor runs", async () =>
			(await relay.workers()).every(({ state }) => state === "RUNNING") ? true : undefined,
		);
		await relay.sluice("worker", "restart", "1");
	});
}, 120_000);
