import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "./lab/commands.ts";
import { assertAccounts } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"], async ({ relay }) => {
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
});

function status(pid: number): Map<string, string> {
	const lines = readFileSync(`/proc/${pid}/status`, "utf8").split("\n");
	return new Map(lines.map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]));
}

test("there is one worker a core, under its own user, without a single capability", async () => {
	const workers = await relay.workers();
	expect(workers.map((worker) => worker.state)).toEqual(["RUNNING", "RUNNING"]);
	for (const worker of workers) {
		const fields = status(worker.pid);
		for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
			expect(fields.get(set)).toBe("0000000000000000");
		}
		expect(fields.get("NoNewPrivs")).toBe("1");
		expect(fields.get("Uid")).not.toMatch(/^0\b/);
		expect(fields.get("Groups")).toBe("");
	}
});

test("a killed worker is started again, its ring keeps what came meanwhile, its counters go on", async () => {
	const count = 60_000;
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count });
	const sent = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 10_000, count });
	// The flow lives on one of the two: kill both, one after the other.
	for (const victim of await relay.workers()) {
		process.kill(victim.pid, "SIGKILL");
		await until("its successor runs", async () => {
			const successor = (await relay.workers()).find((worker) => worker.core === victim.core);
			return successor?.state === "RUNNING" && successor.pid !== victim.pid ? successor : undefined;
		});
	}
	await sent;
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect((await relay.workers()).map((worker) => worker.restarts)).toEqual([1, 1]);
	const figures = await relay.figuresAfter(count);
	assertAccounts(figures);
	expect(figures.interfaces[0]?.kernelDroppedFrames).toBe(0);
});
