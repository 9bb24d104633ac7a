import { afterAll, beforeAll, expect, test } from "bun:test";
import { assertAccounts, Relay } from "./lab/relay.ts";
import { type ChainOfThree, chainOfThree } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

/** On their way at once: each of the rings holds them, however late its worker runs. */
const PORTION = 12_500;

let lab: ChainOfThree;
let relays: [Relay, Relay, Relay];

beforeAll(async () => {
	lab = await chainOfThree();
	relays = [
		new Relay(lab.relays[0], "relay-1"),
		new Relay(lab.relays[1], "relay-2"),
		new Relay(lab.relays[2], "relay-3"),
	];
	// Three clusters side by side on one machine, each in its namespace.
	for (const relay of relays) await relay.up("--workers", "1");
});

afterAll(async () => {
	for (const relay of relays ?? []) await relay.remove();
	await lab?.remove();
});

test("multicast → unicast → multicast through two relays in a row", async () => {
	const [first, second, third] = relays;
	await first.sluice("rule", "add", "in", "--in", "r0:239.1.1.1:5001", "--out", "r1:10.2.0.2:7001");
	await second.sluice("rule", "add", "out", "--in", "r0:10.2.0.2:7001", "--out", "r1:239.2.2.2:5002");
	await third.sluice("rule", "add", "on", "--in", "r0:239.2.2.2:5002", "--out", "r1:239.3.3.3:5003");
	const receiver = await recv(lab.dst, { in: "d0:239.3.3.3:5003", expect: 5_000 });
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 5_000, count: 5_000 });
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(5_000);
	// Nobody listens on the tunnel's port, yet the relay's kernel must not answer "port unreachable".
	const snmp = (await lab.relays[1].read("/proc/net/snmp"))
		.split("\n")
		.filter((line) => line.startsWith("Icmp:"));
	const [names, values] = snmp.map((line) => line.split(" "));
	expect(values?.[names?.indexOf("OutDestUnreachs") ?? -1]).toBe("0");
	for (const relay of relays) {
		const figures = await relay.figuresAfter(5_000);
		assertAccounts(figures);
		expect(figures.rules[0]?.receivedPackets).toBe(5_000);
		expect(figures.rules[0]?.outputs[0]?.sentPackets).toBe(5_000);
	}
});

test("one million datagrams of 1,400 bytes through three relays, exact", async () => {
	const count = 1_000_000;
	const [first, second, third] = relays;
	await first.applyRules([rule("239.1.0.1", "239.2.0.1")], "--prune");
	await second.applyRules([rule("239.2.0.1", "239.3.0.1")], "--prune");
	await third.applyRules([rule("239.3.0.1", "239.4.0.1")], "--prune");
	const receiver = await recv(lab.dst, { in: "d0:239.4.0.1:5001", expect: count, idleSeconds: 15 });
	const stream = { to: "s0:239.1.0.1:5001", rate: 40_000, burst: 8 };
	for (let sent = 0; sent < count; sent += PORTION) {
		await gen(lab.src, { ...stream, count: PORTION, firstSequence: sent });
		if (!(await receiver.hasRead(sent + PORTION))) break;
	}
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(count);
	for (const relay of relays) {
		const figures = await relay.figuresAfter(count);
		assertAccounts(figures);
		expect(figures.rules[0]).toMatchObject({ receivedPackets: count, forwardedPackets: count });
		expect(figures.rules[0]?.outputs[0]?.sentPackets).toBe(count);
		for (const entry of figures.interfaces) expect(entry.kernelDroppedFrames).toBe(0);
	}
}, 300_000);

function rule(from: string, to: string) {
	return {
		name: "pipeline",
		input: { interface: "r0", group: from, port: 5001 },
		outputs: [{ interface: "r1", address: to, port: 5001 }],
	};
}
