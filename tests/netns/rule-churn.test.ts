import { afterAll, beforeAll, expect, test } from "bun:test";
import { assertAccounts, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

let lab: Chain;
let relay: Relay;

beforeAll(async () => {
	lab = await chain();
	relay = new Relay(lab.relay);
	await relay.up("--workers", "2");
});

afterAll(async () => {
	await relay?.remove();
	await lab?.remove();
});

const FLOWING = {
	name: "flowing",
	input: { interface: "r0", group: "239.1.1.1", port: 5001 },
	outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
};

function others(count: number) {
	return Array.from({ length: count }, (_, index) => ({
		name: `other-${index}`,
		// Every second one shares the flowing rule's group, on another port.
		input: { interface: "r0", group: index % 2 ? "239.1.1.1" : `239.2.0.${index + 1}`, port: 10_000 + index },
		outputs: [{ interface: index % 3 ? "r1" : "r2", address: `239.11.0.${index + 1}`, port: 6001 }],
	}));
}

test("a stream of 20,000 pps loses nothing while 200 other rules come and go twice", async () => {
	const count = 400_000;
	await relay.applyRules([FLOWING], "--prune");
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count, idleSeconds: 15 });
	const generator = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 20_000, count, burst: 4 });
	let rounds = 0;
	let flowing = true;
	const sent = generator.finally(() => {
		flowing = false;
	});
	// One after the other, as an orchestrator does it: each put and each removal is applied on its own.
	for (; rounds < 2; rounds++) {
		await relay.eachRule(others(200), "put");
		await relay.eachRule(others(200), "remove");
	}
	expect(flowing).toBe(true);
	await sent;
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(count);
	expect(rounds).toBe(2);
});

test("outputs come and go on a flowing rule, and the one that stays loses nothing", async () => {
	const count = 200_000;
	await relay.applyRules([FLOWING], "--prune");
	// What the test before sent, all of it published.
	const start = 400_000;
	await relay.figuresAfter(start);
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count, idleSeconds: 15 });
	let flowing = true;
	const sent = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 20_000, count, burst: 4 }).finally(() => {
		flowing = false;
	});
	let changes = 0;
	while (flowing) {
		const extra = Array.from({ length: changes % 4 }, (_, index) => `r2:239.12.0.${index + 1}:6001`);
		const outs = ["r1:239.10.1.1:6001", ...extra].flatMap((out) => ["--out", out]);
		await relay.sluice("rule", "set", "flowing", "--in", "r0:239.1.1.1:5001", ...outs);
		changes++;
	}
	await sent;
	expect(changes).toBeGreaterThan(4);
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(count);
	const figures = await relay.figuresAfter(start + count);
	assertAccounts(figures);
	// The edited rule went on counting; the output that stayed was eligible for everything.
	const rule = figures.rules.find((entry) => entry.name === "flowing");
	expect(rule?.receivedPackets).toBe(start + count);
	expect(rule?.outputs[0]?.sentPackets).toBe(start + count);
}, 180_000);
