import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { release } from "node:os";
import { settlesWithin } from "@sluice/lib/settles-within";
import { childrenOf } from "../e2e/up-processes.ts";
import { until } from "./lab/commands.ts";
import { numbers } from "./lab/figures.ts";
import { topologies } from "./lab/host-rules.ts";
import { type Hosts, severalHosts } from "./lab/hosts.ts";
import { OffClock } from "./lab/off-clock.ts";
import { assertAccounts, Conversation, Relay, type RuleFigures } from "./lab/relay.ts";
import { secondAggregator } from "./lab/second-aggregator.ts";
import { faults, gen, genUntilStopped, NO_FAULTS, recv } from "./lab/traffic.ts";

let lab: Hosts;
let first: Relay;
/** relay-b, relay-c and relay-d. */
let joined: Relay[];
/** Of relay-b and relay-c; relay-d and the first host have the right time. */
let behind: OffClock;
let ahead: OffClock;
const HOUR = 3_600;
const noClocks = await OffClock.missing();
if (noClocks !== undefined) console.log(`skipped: clocks that are off: ${noClocks}`);
const ALL = ["relay-a", "relay-b", "relay-c", "relay-d"];

beforeAll(async () => {
	lab = await severalHosts();
	if (noClocks === undefined) {
		behind = await OffClock.of(lab.b, -HOUR);
		ahead = await OffClock.of(lab.c, HOUR);
	}
	first = new Relay(lab.a, "relay-a");
	joined = [lab.b, lab.c, lab.d].map((namespace, index) => new Relay(namespace, ALL[index + 1]));
	await first.up("--workers", "1", "--nats-listen", `${lab.natsAddress}:4222`);
});

afterAll(async () => {
	await Promise.all(joined?.map((relay) => relay.remove()) ?? []);
	await first?.remove();
	await lab?.remove();
	for (const clock of [behind, ahead]) clock?.remove();
});

function relayOf(host: string): Relay {
	const relay = [first, ...joined].find(({ hostId }) => hostId === host);
	if (relay === undefined) throw new Error(`no ${host}`);
	return relay;
}

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
	await Promise.all(joined.map((relay) => relay.join(first)));
	for (const relay of [first, ...joined]) {
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
	const outcome = await relayOf("relay-b").cli("rule", "remove", "x");
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
	expect((await relayOf("relay-d").figures()).rules.map(({ receivedPackets }) => receivedPackets)).toEqual(
		figures.rules.map(({ receivedPackets }) => receivedPackets),
	);
});

/** Nothing is lost on its way through the chain of relay-a, relay-b and relay-c while this is done. */
async function flowThrough(act: () => Promise<void>): Promise<void> {
	const receiver = await recv(lab.lc, { in: "l0:239.1.3.1:5001", idleSeconds: 1 });
	const stop = genUntilStopped(lab.la, { to: "l0:239.1.0.1:5001", rate: 1_000 });
	await act();
	const sent = await stop();
	const report = await receiver.report();
	expect({ got: report.receivedPackets, ...faults(report) }).toEqual({ got: sent, ...NO_FAULTS });
}

interface HostFigures {
	host: string;
	packetsPerSecond?: number;
	stale: boolean;
}

test.skipIf(noClocks !== undefined)(
	"clocks that are an hour off, and that are then set, change no state, figure or packet",
	async () => {
		const line = (how: string) => `this host's clock is ${how} nats-server's: `;
		expect(relayOf("relay-b").log).toContain(line("3600 s behind"));
		expect(relayOf("relay-c").log).toContain(line("3600 s ahead of"));
		expect(relayOf("relay-d").log).not.toContain("this host's clock");
		const chain = topologies[0]?.rules.map(({ name }) => name) ?? [];
		const rates = async () => {
			const { rules } = JSON.parse(await first.sluice("stats", "--json")) as {
				rules: { name: string; hosts: HostFigures[] }[];
			};
			return rules.filter(({ name }) => chain.includes(name)).flatMap(({ hosts }) => hosts);
		};
		const flows = (what: string) =>
			until(`${what}: each host relays 1,000 datagrams a second`, async () => {
				const hosts = await rates();
				const right = ({ stale, packetsPerSecond = 0 }: HostFigures) =>
					!stale && packetsPerSecond > 900 && packetsPerSecond < 1_100;
				return hosts.length === 3 && hosts.every(right) ? true : undefined;
			});
		await flowThrough(async () => {
			await flows("with clocks that are off");
			// As when NTP is started at last.
			behind.set(0);
			ahead.set(0);
			const rule = ["--in", "from-a:239.9.0.1:5009", "--out", "m0:239.9.0.2:5009", "--host", "relay-c"];
			expect(await first.sluice("rule", "add", "set", ...rule)).toBe("rule set: ACTIVE on relay-c\n");
			await first.sluice("rule", "remove", "set");
			for (const host of ["relay-b", "relay-c"])
				await until(
					`${host} says so`,
					() => relayOf(host).log.includes("agrees with nats-server's again") || undefined,
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
		await flowThrough(async () => {
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
	expect(relayOf("relay-c").log).not.toContain("is in use");
});

const tallied = ["exact", "flood"].map((name, k) => ({
	...{ name, hosts: ["relay-b", "relay-c"] },
	input: { interface: "from-a", group: `239.50.0.${k + 1}`, port: 5050 },
	outputs: [{ interface: "out", address: `239.50.1.${k + 1}`, port: 6050 }],
}));
const placed = [...topologies.flatMap(({ rules }) => rules), ...tallied];
/** What "exact" has counted. */
let tally = 0;

interface ToldRule extends RuleFigures {
	hosts: { host: string; incarnation: number; receivedPackets: number; stale: boolean; ageSeconds: number }[];
}

test("a joined host that dies, or is started anew while NATS is away, takes nothing out of the totals", async () => {
	const [host, other] = [relayOf("relay-b"), relayOf("relay-c")];
	await first.applyRules(placed);
	const again = await secondAggregator(first);
	const asker = new Conversation(first);
	const names = tallied.map(({ name }) => name);
	const seen = [0, 0];
	/** Of one aggregator, whichever: totals never step back. */
	const look = async () => {
		const { payload } = await asker.ask("sluice.v1.stats.get", { names });
		const { rules } = numbers(JSON.parse(payload)) as { rules: ToldRule[] };
		assertAccounts({ rules, interfaces: [] });
		for (const [k, { receivedPackets }] of rules.entries()) {
			expect(receivedPackets).toBeGreaterThanOrEqual(seen[k] ?? 0);
			seen[k] = receivedPackets;
		}
		return rules;
	};
	const burst = (to: string, count: number) =>
		gen(lab.a, { to: `${to}:239.50.0.1:5050`, rate: 2_000, count, size: 200 });
	/** Until both say the same, and that it is all there was. */
	const counted = (count: number) => {
		tally += count;
		return until(`${tally} are counted`, async () => {
			const answers = [];
			for (let k = 0; k < 10; k += 1) answers.push((await look())[0]?.receivedPackets);
			return answers.every((received) => received === tally) ? true : undefined;
		});
	};
	await burst("to-c", 300);
	await counted(300);
	const stop = genUntilStopped(lab.a, { to: "to-b:239.50.0.2:5050", rate: 500, size: 200 });
	const file = (await first.issue("host", host.hostId)).file;
	const upAgain = async () => {
		const up = host.up("--credentials", file, "--workers", "1");
		for (let ready = false; !ready; ready = await settlesWithin(up, 50)) await look();
		await until("the rule flows there again", async () => {
			const [exact, flood] = await look();
			const live = flood?.hosts.find((each) => each.host === host.hostId);
			return exact?.hosts.length === 2 && (live?.receivedPackets ?? 0) > 0 && !live?.stale ? true : undefined;
		});
	};
	await burst("to-b", 500);
	await counted(500);
	await host.kill();
	await burst("to-b", 100);
	await upAgain();
	await lab.b.ip("link", "set", "m0", "down");
	for (const unheard of [300, 400]) {
		const relayed = await recv(lab.lb, { in: "l0:239.50.1.1:6050", expect: unheard });
		await burst("to-b", unheard);
		await relayed.report();
		await host.down();
		if (unheard === 400) break;
		const logged = host.log.length;
		// It is not ready before NATS is back.
		host.up("--credentials", file, "--workers", "1").catch(() => {});
		await until(
			"it relays by what it knew",
			() => /"rule":"exact"[^\n]*"rule is ACTIVE"/.test(host.log.slice(logged)) || undefined,
		);
	}
	await lab.b.ip("link", "set", "m0", "up");
	await upAgain();
	await counted(700);
	await burst("to-b", 900);
	await counted(900);
	expect((await look())[0]?.hosts).toMatchObject([
		{ host: host.hostId, receivedPackets: 900 },
		{ host: other.hostId, receivedPackets: 300 },
	]);
	expect(seen[1]).toBeLessThanOrEqual(await stop());
	await asker.end();
	await again.end();
});

test("a forgotten host leaves what it counted last in the totals; where nobody has kept that, a line says so", async () => {
	const gone = relayOf("relay-d");
	const totals = async () => {
		const { rules } = await first.figures();
		return Object.fromEntries(rules.map(({ name, receivedPackets }) => [name, receivedPackets]));
	};
	const signal = (name: string, how: NodeJS.Signals) =>
		process.kill(childrenOf(first.pid).get(name) ?? 0, how);
	const forget = () => first.cli("host", "forget", gone.hostId);
	await first.publications(2);
	await gone.down();
	const before = await totals();
	const forgotten = { code: 0, stdout: "host relay-d is forgotten until it comes back\n" };
	expect(await forget()).toEqual({ ...forgotten, stderr: "" });
	for (const name of ["stats-aggregator", "nats-server"]) signal(name, "SIGKILL");
	const after = await until("there are figures again", () => totals().catch(() => undefined));
	expect(after).toEqual(before);
	await gone.join(first);
	await gone.down();
	signal("stats-aggregator", "SIGSTOP");
	const unkept = await forget();
	signal("stats-aggregator", "SIGCONT");
	expect(unkept).toMatchObject({
		...forgotten,
		stderr: expect.stringMatching(/^sluice: no stats-aggregator has kept what it counted last: [^\n]*\n$/),
	});
	await gone.join(first);
	expect(await totals()).toEqual(before);
});

test("a host whose up is killed is gone from every list, only its rules wait, and it comes back as the same", async () => {
	const dead = relayOf("relay-b");
	// What ends with it ends in order, and does not say that anybody wanted it.
	process.kill(dead.pid, "SIGKILL");
	await until("relay-c says that relay-b is gone", async () => {
		const { stderr } = await relayOf("relay-c").cli("host", "list");
		return /relay-b not seen for \d+ s/.test(stderr) ? true : undefined;
	});
	const waiting = (await first.rules()).filter(({ hosts }) => hosts[0]?.state !== "ACTIVE");
	const its = placed.filter(({ hosts }) => hosts[0] === "relay-b");
	expect(waiting.map(({ name }) => name).sort()).toEqual(its.map(({ name }) => name).sort());
	expect(waiting[0]?.hosts[0]?.reason).toMatch(/^host not seen for \d+ s$/);
	await until("its figures are stale, with their age, and nobody else's", async () => {
		const { rules } = numbers(JSON.parse(await first.sluice("stats", "--json"))) as { rules: ToldRule[] };
		const told = rules.flatMap(({ hosts }) => hosts);
		const right = ({ host, stale, ageSeconds }: ToldRule["hosts"][number]) =>
			stale === (host === dead.hostId) && ageSeconds > 3 === stale;
		return told.some(({ stale }) => stale) && told.every(right) ? true : undefined;
	});
	await dead.join(first);
	await until("all rules are ACTIVE again", async () =>
		(await first.rules()).every(({ hosts }) => hosts.every(({ state }) => state === "ACTIVE"))
			? true
			: undefined,
	);
});

test("a machine that is replaced leaves its id to the new one, and is refused when it comes back", async () => {
	const old = relayOf("relay-d");
	const { file } = await first.issue("host", "relay-d");
	await old.down();
	const rule = (await first.rules()).find(({ hosts }) => hosts[0]?.host === "relay-d");
	expect(rule?.hosts[0]).toMatchObject({ state: "PENDING", reason: "host was stopped" });
	expect((await first.sluice("host", "list")).split("\n")).toContainEqual(
		expect.stringMatching(/^relay-d .* stopped, \d+s ago /),
	);
	const fresh = new Relay(lab.d, "relay-d");
	try {
		await fresh.up("--credentials", file, "--workers", "1");
		await until("its rules are ACTIVE", async () =>
			(await first.rules()).every(({ hosts }) => hosts.every(({ state }) => state === "ACTIVE"))
				? true
				: undefined,
		);
		old.log = "";
		await expect(old.up("--credentials", file, "--workers", "1")).rejects.toThrow("ended with 1");
		expect(old.log).toContain("host id relay-d is in use by another sluice up");
		expect(old.log).not.toContain("the rules last known flow");
	} finally {
		await fresh.remove();
	}
});

test("a host that is refused while it runs says why once, and so does the list", async () => {
	const refused = relayOf("relay-c");
	refused.log = "";
	await first.sluice("credentials", "revoke", "host", "relay-c");
	await until("the list says so", async () =>
		(await first.cli("host", "list")).stderr.includes("relay-c not seen for") ? true : undefined,
	);
	expect((await first.cli("host", "list")).stderr).toContain(
		"nats-server refuses it, since it has no credentials here: ",
	);
	const lines = (what: string) => refused.log.split("\n").filter((line) => line.includes(what));
	expect(
		lines(
			"refuses the credentials of this host: make this host's file anew on the cluster's first host with",
		),
	).toHaveLength(1);
	expect(lines("NATS is away: counters go on")).toHaveLength(1);
	expect(lines("NATS refused something")).toEqual([]);
});

test("a cluster that cannot be joined is one line, and costs no datagram", () =>
	flowThrough(async () => {
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
