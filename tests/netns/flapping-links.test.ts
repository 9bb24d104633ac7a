import { afterAll, beforeAll, expect, test } from "bun:test";
import { standStill } from "@sluice/lib/testing/signals";
import { supervisorOf } from "../e2e/up-processes.ts";
import { must, until } from "./lab/commands.ts";
import { connect, Namespace } from "./lab/namespace.ts";
import { Relay } from "./lab/relay.ts";
import { gen, recv, streamRule } from "./lab/traffic.ts";

/*
 *    src          hub            relay          dst
 *   ┌────┐     ┌───────┐       ┌───────┐      ┌────┐
 *   │  s0├─────┤p0   p1├───────┤r0   r1├──────┤d0  │
 *   └────┘     └───────┘       └───────┘      └────┘
 *
 * The hub is a bridge that forgets what a port asked for when its carrier goes, as switches do.
 */
const COUNT = 100;
const MANY = 50;

const all: Namespace[] = [];
let src: Namespace;
let hub: Namespace;
let host: Namespace;
let dst: Namespace;
let relay: Relay;

async function make(role: string): Promise<Namespace> {
	const namespace = await Namespace.create(role);
	all.push(namespace);
	return namespace;
}

beforeAll(async () => {
	[src, hub, host, dst] = [await make("src"), await make("hub"), await make("relay"), await make("dst")];
	// Each report once: its repetition, a second later, would tell the hub again.
	await host.sysctl("net.ipv4.igmp_qrv", 1);
	await hub.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "1");
	await hub.ip("link", "set", "br0", "up");
	await connect({ namespace: hub, name: "p0" }, { namespace: src, name: "s0", address: "10.1.0.2/24" });
	await connect({ namespace: hub, name: "p1" }, { namespace: host, name: "r0", address: "10.1.0.1/24" });
	await connect(
		{ namespace: host, name: "r1", address: "10.2.0.1/24" },
		{ namespace: dst, name: "d0", address: "10.2.0.2/24" },
	);
	for (const port of ["p0", "p1"]) await hub.ip("link", "set", port, "master", "br0");
	relay = new Relay(host);
	await relay.up("--workers", "2");
	await relay.applyRules([streamRule(0)]);
	await until("the hub knows who asked", asked);
});

afterAll(async () => {
	await relay?.remove();
	await Promise.all(all.map((each) => each.remove()));
});

async function asked(): Promise<true | undefined> {
	const known = await must(["bridge", "-n", hub.name, "mdb", "show"]);
	return known.includes("port p1 grp 239.1.1.1") ? true : undefined;
}

async function batch({ name }: Namespace, lines: readonly string[]): Promise<void> {
	await must(["ip", "-n", name, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}

/** The other end loses its carrier, and has it again before the supervisor looks. */
async function flap(namespace: Namespace, name: string): Promise<void> {
	const supervisor = supervisorOf(relay.pid);
	await standStill(supervisor);
	await batch(namespace, [`link set ${name} down`, `link set ${name} up`]);
	process.kill(supervisor, "SIGCONT");
}

async function flows(): Promise<void> {
	const receiver = await recv(dst, { in: "d0:239.10.1.1:6001", expect: COUNT });
	await gen(src, { to: "s0:239.1.1.1:5001", rate: 1000, count: COUNT });
	expect(await receiver.report()).toMatchObject({ receivedPackets: COUNT, lostPackets: 0 });
}

test("an input's carrier that was away for a moment: its groups are asked for anew", async () => {
	await flap(hub, "p1");
	await until("the hub knows again who asked", asked);
	await flows();
}, 120_000);

test("an output's carrier that was away for a moment costs nothing that comes later", async () => {
	await flap(dst, "d0");
	await flows();
});

test("of interfaces that come and go many at once few lines are told, and how many there were", async () => {
	const before = relay.log.length;
	const names = Array.from({ length: MANY }, (_, k) => `x${k}`);
	await batch(
		host,
		names.map((name) => `link add ${name} type veth peer name ${name}p`),
	);
	await until("they are seen", () => /"x\d+p? /.test(relay.log.slice(before)) || undefined);
	await batch(
		host,
		names.map((name) => `link del ${name}`),
	);
	const lines = await until("the further changes are counted", async () => {
		const since = relay.log.slice(before).split("\n");
		return since.some((line) => line.includes("changed too often to tell")) ? since : undefined;
	});
	const told = lines.filter((line) => line.includes('"facility":"interfaces"'));
	expect(told.length).toBeLessThan(30);
	expect(relay.log.slice(before)).toMatch(/"changes":\d\d+,"last":\["x\d+p? /);
}, 120_000);
