import { expect, test } from "bun:test";
import { until } from "./lab/commands.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { gen } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"]);

/** One line per AF_PACKET socket of the namespace, after the heading. */
async function packetSockets(): Promise<number> {
	return (await lab.relay.read("/proc/net/packet")).trim().split("\n").length - 1;
}

/** Groups joined per interface, without 224.0.0.1, which every interface has. */
async function joined(): Promise<Map<string, Set<string>>> {
	const groups = new Map<string, Set<string>>();
	let current = new Set<string>();
	for (const line of (await lab.relay.read("/proc/net/igmp")).split("\n").slice(1)) {
		const device = /^\d+\s+(\S+)/.exec(line)?.[1];
		if (device) {
			current = new Set();
			groups.set(device, current);
			continue;
		}
		const group = /^\s+([0-9A-F]{8})\s/.exec(line)?.[1];
		if (!group) continue;
		const bytes = [6, 4, 2, 0].map((at) => Number.parseInt(group.slice(at, at + 2), 16));
		if (bytes.join(".") !== "224.0.0.1") current.add(bytes.join("."));
	}
	return groups;
}

function rules(count: number) {
	return Array.from({ length: count }, (_, index) => ({
		name: `rule-${index}`,
		input: { interface: "r0", group: `239.5.0.${index + 1}`, port: 5001 },
		outputs: [{ interface: "r1", address: `239.6.0.${index + 1}`, port: 6001 }],
	}));
}

test("without a rule there is no AF_PACKET socket and no group", async () => {
	expect(await packetSockets()).toBe(0);
	for (const groups of (await joined()).values()) expect(groups.size).toBe(0);
});

test("200 rules on one interface: one socket per worker, each group joined on the input interface alone", async () => {
	await relay.applyRules(rules(200));
	expect(await packetSockets()).toBe(2);
	const groups = await joined();
	expect(groups.get("r0")).toEqual(new Set(rules(200).map((rule) => rule.input.group)));
	for (const device of ["lo", "r1", "r2"]) expect(groups.get(device)?.size ?? 0).toBe(0);
});

test("unrelated traffic on the interface never enters the rings", async () => {
	await gen(lab.src, { to: "s0:239.99.0.1:5001", rate: 5_000, count: 5_000 });
	await gen(lab.src, { to: "s0:10.1.0.1:5001", rate: 5_000, count: 1_000 });
	// One datagram that a rule takes, so that the figures are known to be newer than the rest.
	await gen(lab.src, { to: "s0:239.5.0.1:5001", rate: 10, count: 1 });
	const figures = await relay.figuresAfter(1);
	expect(figures.interfaces.find((entry) => entry.interface === "r0")).toMatchObject({
		capturedFrames: 1,
		unmatchedPackets: 0,
		kernelDroppedFrames: 0,
	});
});

test("a second input interface has its own sockets, which go with its last rule", async () => {
	await relay.sluice("rule", "add", "back", "--in", "r1:239.7.0.1:5001", "--out", "r0:239.8.0.1:6001");
	expect(await packetSockets()).toBe(4);
	await relay.sluice("rule", "remove", "back");
	await until("two packet sockets are left", async () => ((await packetSockets()) === 2 ? true : undefined));
});

test("after the last rule there is no socket, and every group is left", async () => {
	await relay.applyRules([], "--prune");
	await until("no packet socket is left", async () => ((await packetSockets()) === 0 ? true : undefined));
	await until("no group is left", async () => {
		const left = [...(await joined()).values()].reduce((sum, groups) => sum + groups.size, 0);
		return left === 0 ? true : undefined;
	});
});
