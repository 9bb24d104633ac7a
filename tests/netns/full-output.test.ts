import { expect, test } from "bun:test";
import { until } from "./lab/commands.ts";
import { assertAccounts, type Figures } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const RATE = 2_000;
const COUNT = 4_000;

const { lab, relay } = await relayOnChain(["--workers", "2"]);

/** What the rule has received in the tests so far. */
let sentBefore = 0;

async function applyWith(second: { interface: string; address: string; port: number }): Promise<void> {
	const rule = (name: string, port: number, outputs: unknown[]) => ({
		name,
		input: { interface: "r0", group: "239.1.1.1", port },
		outputs,
	});
	await relay.applyRules([
		rule("both", 5001, [{ interface: "r1", address: "239.10.1.1", port: 6001 }, second]),
		rule("other", 5002, [{ interface: "r1", address: "239.10.1.2", port: 6001 }]),
	]);
}

function output(figures: Figures, name: string, key: string) {
	const found = figures.rules
		.find((rule) => rule.name === name)
		?.outputs.find((entry) => entry.interface === key);
	if (!found) throw new Error(`no output ${key} of ${name}`);
	return found;
}

/** Streams to both rules, `meanwhile` in the midst of them; r1's outputs of both must lose nothing. */
async function flow(count = COUNT, meanwhile: () => Promise<void> = async () => {}): Promise<Figures> {
	const receivers = [
		await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count }),
		await recv(lab.dst, { in: "d0:239.10.1.2:6001", expect: count }),
	];
	const streams = [
		gen(lab.src, { to: "s0:239.1.1.1:5001", rate: RATE, count, burst: 8 }),
		gen(lab.src, { to: "s0:239.1.1.1:5002", rate: RATE, count, burst: 8 }),
	];
	await meanwhile();
	await Promise.all(streams);
	for (const receiver of receivers) {
		const report = await receiver.report();
		expect(faults(report)).toEqual(NO_FAULTS);
		expect(report.receivedPackets).toBe(count);
	}
	sentBefore += 2 * count;
	const figures = await relay.figuresAfter(sentBefore);
	assertAccounts(figures);
	for (const name of ["both", "other"]) {
		expect(output(figures, name, "r1").sentPackets).toBe(sentBefore / 2);
		expect(output(figures, name, "r1").failedPackets).toBe(0);
	}
	return figures;
}

test("a full qdisc: what it refuses is failed on its output alone, and what is sent arrives", async () => {
	await applyWith({ interface: "r2", address: "239.10.2.1", port: 6001 });
	await lab.relay.must("tc qdisc add dev r2 root tbf rate 1mbit burst 100000 limit 100000".split(" "));
	const narrow = await recv(lab.dst, { in: "d1:239.10.2.1:6001", idleSeconds: 60 });
	const figures = await flow();
	const { eligiblePackets, sentPackets, failedPackets, failedByReason } = output(figures, "both", "r2");
	expect(eligiblePackets).toBe(COUNT);
	expect(failedPackets).toBeGreaterThan(COUNT / 2);
	expect(failedByReason).toEqual({ QUEUE_FULL: failedPackets });
	await until(
		"the qdisc has passed on what it took",
		async () =>
			(await lab.relay.must("tc -s qdisc show dev r2".split(" "))).includes(" backlog 0b ") || undefined,
	);
	expect((await narrow.complete()).receivedPackets).toBe(sentPackets);
	await lab.relay.must("tc qdisc del dev r2 root".split(" "));
});

test("an output interface set down while flowing: what it misses is failed on its output alone", async () => {
	const before = output(await relay.figures(), "both", "r2");
	// What follows, when the supervisor has seen it, is to be seen too.
	const count = 2 * COUNT;
	const sentOnR2 = async () => Number(await lab.relay.read("/sys/class/net/r2/statistics/tx_packets"));
	const sentEarlier = await sentOnR2();
	const figures = await flow(count, async () => {
		await until("a quarter of a second of flow", async () =>
			(await sentOnR2()) > sentEarlier + RATE / 4 ? true : undefined,
		);
		await lab.relay.ip("link", "set", "r2", "down");
	});
	const after = output(figures, "both", "r2");
	expect(after.sentPackets).toBeGreaterThan(before.sentPackets);
	expect(after.eligiblePackets).toBe(before.eligiblePackets + count);
	expect(after.failedPackets).toBeGreaterThan(before.failedPackets);
	// At first what the kernel says, then what the table says.
	const { INTERFACE_DOWN = 0, UNUSABLE = 0, ...others } = after.failedByReason;
	expect(INTERFACE_DOWN + UNUSABLE).toBe(after.failedPackets - before.failedPackets);
	expect(UNUSABLE).toBeGreaterThan(0);
	expect(others).toEqual(before.failedByReason);
	await lab.relay.ip("link", "set", "r2", "up");
});

for (const [what, address, answers] of [
	["that answers port unreachable: its answers are counted", "10.3.0.2", true],
	["that answers no ARP request: it is counted as sent", "10.3.0.77", false],
] as const) {
	test(`a unicast destination ${what}, and no other output loses anything`, async () => {
		await applyWith({ interface: "r2", address, port: 6999 });
		await until("the output can be used", async () => {
			const rule = (await relay.rules()).find(({ name }) => name === "both");
			return rule?.hosts[0]?.state === "ACTIVE" ? true : undefined;
		});
		const figures = await flow();
		const unicast = output(figures, "both", "r2");
		expect(unicast.eligiblePackets).toBe(COUNT);
		expect(unicast.sentPackets).toBe(COUNT);
		if (answers) expect(unicast.unreachableAnswers).toBeGreaterThan(0);
		else expect(unicast.unreachableAnswers).toBe(0);
		for (const name of ["both", "other"]) expect(output(figures, name, "r1").unreachableAnswers).toBe(0);
	});
}
