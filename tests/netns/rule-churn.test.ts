import { expect, test } from "bun:test";
import { assertAccounts, type Figures } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, NO_FAULTS, sendWhile } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"]);

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

const STREAM = { rate: 20_000, burst: 4 };
/** By the tests so far. */
let sentBefore = 0;

/** Every datagram arrives, and is counted for the rule, whatever else is done to it or others. */
async function losesNothing(act: () => Promise<void>): Promise<Figures> {
	await relay.applyRules([FLOWING], "--prune");
	const { sent, known, report } = await sendWhile(lab, STREAM, act, async (count) => {
		sentBefore += count;
		return relay.figuresAfter(sentBefore);
	});
	expect([faults(report), report.receivedPackets]).toEqual([NO_FAULTS, sent.sentPackets]);
	assertAccounts(known);
	return known;
}

test("a stream of 20,000 pps loses nothing while 200 other rules come and go twice", async () => {
	await losesNothing(async () => {
		// One after the other, as an orchestrator does it: each put and each removal is applied on its own.
		for (let round = 0; round < 2; round++) {
			await relay.eachRule(others(200), "put");
			await relay.eachRule(others(200), "remove");
		}
	});
});

test("outputs come and go on a flowing rule, and the one that stays loses nothing", async () => {
	const figures = await losesNothing(async () => {
		for (let change = 0; change < 16; change++) {
			const extra = Array.from({ length: change % 4 }, (_, index) => `r2:239.12.0.${index + 1}:6001`);
			const outs = ["r1:239.10.1.1:6001", ...extra].flatMap((out) => ["--out", out]);
			await relay.sluice("rule", "set", "flowing", "--in", "r0:239.1.1.1:5001", ...outs);
		}
	});
	// The edited rule went on counting; the output that stayed was eligible for everything.
	const rule = figures.rules.find((entry) => entry.name === "flowing");
	expect(rule?.receivedPackets).toBe(sentBefore);
	expect(rule?.outputs[0]?.sentPackets).toBe(sentBefore);
}, 180_000);
