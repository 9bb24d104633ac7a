// Four relay hosts of one cluster: how they join, what they relay and tell together, and who may not join.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { release } from "node:os";
import { Cluster } from "./lab/cluster.ts";
import { until } from "./lab/commands.ts";
import { topologies } from "./lab/host-rules.ts";
import type { Hosts } from "./lab/hosts.ts";
import { OffClock } from "./lab/off-clock.ts";
import { assertAccounts, Relay } from "./lab/relay.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

let cluster: Cluster;
let lab: Hosts;
let first: Relay;
/** Of relay-b and relay-c; relay-d and the first host have the right time. */
let behind: OffClock;
let ahead: OffClock;
const HOUR = 3_600;
const noClocks = await OffClock.missing();
if (noClocks !== undefined) console.log(`skipped: clocks that are off: ${noClocks}`);
const ALL = ["relay-a", "relay-b", "relay-c", "relay-d"];

beforeAll(async () => {
	cluster = await Cluster.create();
	({ lab, first } = cluster);
	if (noClocks === undefined) {
		behind = await OffClock.of(lab.b, -HOUR);
		ahead = await OffClock.of(lab.c, HOUR);
	}
});

afterAll(async () => {
	await cluster?.remove();
	for (const clock of [behind, ahead]) clock?.remove();
});

const { version: VERSION } = (await Bun.file(`${import.meta.dir}/../../package.json`).json()) as {
	version: string;
};

interface ListedHost {
	host: string;
	lastSeenSeconds: number;
	interfaces: object[];
	cores: number;
}

test("a host joins with its file alone, and every host shows all of them", async () => {
	await cluster.join();
	for (const relay of [first, ...cluster.joined]) {
		const hosts = await until(`${relay.hostId} shows all hosts`, async () => {
			const text = await relay.sluice("host", "list", "--json");
			const { hosts } = JSON.parse(text) as { hosts: ListedHost[] };
			return hosts.length === 4 && hosts.every(({ lastSeenSeconds }) => lastSeenSeconds <= 3)
				? hosts
				: undefined;
		});
		expect(hosts.map(({ host }) => host)).toEqual(ALL);
		const registered = { up: true, mtu: 1500, driver: "veth" };
		const its = [
			{ ...registered, name: "from-a", addresses: ["10.2.0.2"] },
			{ ...registered, name: "out", addresses: ["10.7.0.1"] },
		];
		expect(hosts[1]?.interfaces).toEqual(
			expect.arrayContaining(its.map((each) => expect.objectContaining(each))),
		);
		expect(hosts[1]).toMatchObject({ version: VERSION, kernel: release(), protocolVersion: 2 });
		expect(hosts[1]?.cores).toBeGreaterThan(0);
	}
	// What runs on a joined host may look; who may change the cluster is the operator's choice.
	const outcome = await cluster.b.cli("rule", "remove", "x");
	expect(outcome.stderr).toContain("a host that joined it may only send those that cannot: run it on the");
});

test("a rule runs where it says; without hosts on the one that has the interface, and on none of several", async () => {
	const states = async (...options: string[]) => {
		await first.sluice("rule", "add", "where", ...options);
		const [rule] = await first.rules();
		await first.sluice("rule", "remove", "where");
		return rule?.hosts;
	};
	const at = (name: string) => ["--in", `${name}:239.9.0.1:5009`, "--out", "m0:239.9.0.2:5009"];
	const active = (host: string) => ({ host, state: "ACTIVE", reason: "" });
	const pending = (host: string, reason: string) => ({ host, state: "PENDING", reason });
	expect(await states(...at("from-d"))).toEqual([active("relay-c")]);
	const several = "hosts relay-b, relay-c, relay-d match: name one, or all";
	expect(await states(...at("from-a"))).toEqual(ALL.slice(1).map((host) => pending(host, several)));
	expect(await states(...at("from-a"), "--host", "relay-d")).toEqual([active("relay-d")]);
	expect(await states(...at("from-a"), "--host", "all")).toEqual([
		pending("relay-a", "no interface from-a here"),
		...ALL.slice(1).map(active),
	]);
	expect(await states(...at("from-a"), "--host", "relay-b", "--host", "relay-x")).toEqual([
		active("relay-b"),
		pending("relay-x", "host is not known: start sluice there, or look at its log"),
	]);
});

const COUNT = 1_000;

test("chain, diamond, mesh and converging tree deliver every datagram once, in order, to every receiver", async () => {
	await first.applyRules(topologies.flatMap(({ rules }) => rules));
	for (const { name, sources, receivers } of topologies) {
		const listening = await Promise.all(
			receivers.map(({ at, group }) => recv(lab[at], { in: `l0:${group}`, expect: COUNT })),
		);
		await Promise.all(
			sources.map(({ at, group }) => gen(lab[at], { to: `l0:${group}`, rate: 1_000, count: COUNT })),
		);
		for (const receiver of listening) {
			const report = await receiver.report();
			expect({ name, got: report.receivedPackets, ...faults(report) }).toEqual({
				...{ name, got: COUNT },
				...NO_FAULTS,
			});
		}
	}
});

test("figures of all hosts are one account, the same from every host", async () => {
	const rules = topologies.flatMap((topology) => topology.rules);
	const figures = await first.figuresAfter(rules.length * COUNT);
	assertAccounts(figures);
	for (const { name, outputs } of rules) {
		const rule = figures.rules.find((each) => each.name === name);
		expect(rule).toMatchObject({ receivedPackets: COUNT, forwardedPackets: COUNT });
		expect(rule?.outputs.map(({ sentPackets }) => sentPackets)).toEqual(outputs.map(() => COUNT));
	}
	expect((await cluster.d.figures()).rules.map(({ receivedPackets }) => receivedPackets)).toEqual(
		figures.rules.map(({ receivedPackets }) => receivedPackets),
	);
});

interface HostFigures {
	host: string;
	packetsPerSecond?: number;
	stale: boolean;
}

test.skipIf(noClocks !== undefined)(
	"clocks that are an hour off, and that are then set, change no state, figure or packet",
	async () => {
		const line = (how: string) => `this host's clock is ${how} nats-server's: `;
		expect(cluster.b.log).toContain(line("3600 s behind"));
		expect(cluster.c.log).toContain(line("3600 s ahead of"));
		expect(cluster.d.log).not.toContain("this host's clock");
		const chain = topologies[0]?.rules.map(({ name }) => name) ?? [];
		const rates = async () => {
			const { rules } = JSON.parse(await first.sluice("stats", "--json")) as {
				rules: { name: string; hosts: HostFigures[] }[];
			};
			return rules.filter(({ name }) => chain.includes(name)).flatMap(({ hosts }) => hosts);
		};
		const right = ({ stale, packetsPerSecond = 0 }: HostFigures) =>
			!stale && packetsPerSecond > 900 && packetsPerSecond < 1_100;
		const flow = async () => {
			const hosts = await rates();
			return hosts.length === 3 && hosts.every(right) ? true : undefined;
		};
		const flows = (what: string) => until(`${what}: each host relays 1,000 datagrams a second`, flow, 40_000);
		await cluster.flowThrough(async () => {
			await flows("with clocks that are off");
			// As when NTP is started at last.
			behind.set(0);
			ahead.set(0);
			const rule = ["--in", "from-a:239.9.0.1:5009", "--out", "m0:239.9.0.2:5009", "--host", "relay-c"];
			expect(await first.sluice("rule", "add", "set", ...rule)).toBe("rule set: ACTIVE on relay-c\n");
			await first.sluice("rule", "remove", "set");
			for (const relay of [cluster.b, cluster.c])
				await until(
					`${relay.hostId} says so`,
					() => relay.log.includes("agrees with nats-server's again") || undefined,
				);
			await flows("with clocks that were set");
		});
	},
);

test("a rule that moves to another host leaves there what it counted, and goes on when it is back", async () => {
	const name = "chain-1-b";
	const rule = ["--in", "from-a:239.1.1.1:5001", "--out", "to-c:239.1.2.1:5001"];
	const totals = async () => {
		await first.publications(2);
		const figures = await first.figures();
		assertAccounts(figures);
		return figures.rules.find((each) => each.name === name)?.receivedPackets;
	};
	const before = await totals();
	expect(before).toBeGreaterThanOrEqual(COUNT);
	for (const host of ["relay-c", "relay-b"]) {
		await first.sluice("rule", "set", name, ...rule, "--host", host);
		expect(await totals()).toBe(before);
	}
});

test("an id that another host has is refused by name, and that one relays on", async () => {
	const { file } = await first.issue("host", "relay-c");
	const second = new Relay(lab.d, "relay-c");
	try {
		await cluster.flowThrough(async () => {
			await expect(second.up("--credentials", file, "--workers", "1")).rejects.toThrow("ended with 1");
		});
		expect(second.log).toEndWith("or stop that one: the log above says more\n");
		expect(second.log).toMatch(
			/\nsluice: supervisor does not start: host id relay-c is in use by another sluice up, at 10\./,
		);
		expect(readdirSync(`${second.dataDir}/credentials`)).toEqual([]);
	} finally {
		await second.remove();
	}
	expect(cluster.c.log).not.toContain("is in use");
});

test("a cluster that cannot be joined is one line, and costs no datagram", () =>
	cluster.flowThrough(async () => {
		const stranger = new Relay(lab.d, "relay-z");
		const { file } = await first.issue("host", "relay-z");
		const join = (...words: string[]) =>
			stranger.cli("up", "--host-id", "relay-z", "--credentials", file, ...words);
		const away = await join("--nats", "nats://10.99.0.9:4222");
		expect(away).toMatchObject({ code: 3, stdout: "" });
		expect(away.stderr).toMatch(
			/^sluice: NATS at nats:\/\/10\.99\.0\.9:4222 is not reachable: no answer within [\d.]+ s: check the URL[^\n]*\n$/,
		);
		// A copy of what is then revoked.
		await first.issue("host", "relay-z", "--out", `${first.dataDir}/z.json`);
		await first.sluice("credentials", "revoke", "host", "relay-z");
		const refused = await stranger.cli("up", "--credentials", `${first.dataDir}/z.json`);
		expect(refused).toMatchObject({
			code: 1,
			stdout: "",
			stderr: `sluice: NATS at nats://${lab.natsAddress}:4222 refuses the credentials of this host: make this host's file anew on the cluster's first host with sluice credentials host relay-z, bring it here, and start sluice up with it\n`,
		});
		await stranger.remove();
	}));
