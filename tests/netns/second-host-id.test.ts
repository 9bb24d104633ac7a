import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "./lab/commands.ts";
import { Conversation, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const NATS = "10.2.0.2:4222";

let lab: Chain;
let first: Relay;
let host: Relay;
let second: Relay;

beforeAll(async () => {
	lab = await chain();
	first = new Relay(lab.dst);
	host = new Relay(lab.relay, "relay-b");
	// Where it could take most: on the same interfaces.
	second = new Relay(lab.relay, "relay-b");
	await first.up("--workers", "1", "--nats-listen", NATS);
	await host.join(first);
	const rule = ["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001", "--host", "relay-b"];
	await first.sluice("rule", "add", "video", ...rule);
});

afterAll(async () => {
	for (const relay of [second, host, first]) await relay?.remove();
	await lab?.remove();
});

interface HostFigures {
	readonly incarnation: number;
	readonly receivedPackets: number;
}

test("what another installation starts under a host's id takes no datagram, no figure and no name from it", async () => {
	const { file } = await first.issue("host", "relay-b");
	const conversation = new Conversation(first);
	const hostFigures = async () => {
		const { rules } = (await conversation.read("sluice.v1.stats.get")) as {
			rules: { hosts: HostFigures[] }[];
		};
		return rules[0]?.hosts[0];
	};
	const workers = await conversation.workers();
	const before = await until("its figures are told", hostFigures);
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: 6_000, idleSeconds: 10 });
	const sent = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 1_000, count: 6_000 });
	const refused = second.up("--credentials", file, "--workers", "1").then(
		() => "it serves",
		(thrown: Error) => thrown.message,
	);
	let over = false;
	void refused.then(() => (over = true));
	const seen: HostFigures[] = [];
	while (!over) {
		const figures = await hostFigures();
		if (figures !== undefined) seen.push(figures);
		expect(await conversation.workers()).toEqual(workers);
		await Bun.sleep(50);
	}
	expect(await refused).toContain("ended with 1");
	expect(second.log).toContain("host id relay-b is in use by another sluice up, at 10.");
	await sent;
	expect(faults(await receiver.report())).toEqual(NO_FAULTS);
	expect(new Set(seen.map(({ incarnation }) => incarnation))).toEqual(new Set([before.incarnation]));
	const received = seen.map(({ receivedPackets }) => receivedPackets);
	expect(received).toEqual(received.toSorted((a, b) => a - b));
	await conversation.end();
	const figures = await first.figuresAfter(6_000);
	expect(figures.rules[0]?.receivedPackets).toBe(6_000);
	expect(host.log).not.toContain("is in use");
}, 120_000);
