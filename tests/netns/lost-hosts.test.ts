// What a joined host leaves that dies, is stopped, forgotten, replaced or refused, and how it comes back.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { settlesWithin } from "@sluice/lib/settles-within";
import { standStill } from "@sluice/lib/testing/signals";
import { childrenOf } from "../e2e/up-processes.ts";
import { Cluster } from "./lab/cluster.ts";
import { until } from "./lab/commands.ts";
import { numbers } from "./lab/figures.ts";
import { topologies } from "./lab/host-rules.ts";
import type { Hosts } from "./lab/hosts.ts";
import { assertAccounts, Conversation, Relay, type RuleFigures } from "./lab/relay.ts";
import { secondAggregator } from "./lab/second-aggregator.ts";
import { gen, genUntilStopped, recv } from "./lab/traffic.ts";

let cluster: Cluster;
let lab: Hosts;
let first: Relay;

beforeAll(async () => {
	cluster = await Cluster.create();
	({ lab, first } = cluster);
	await cluster.join();
});

afterAll(() => cluster?.remove());

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
	const [host, other] = [cluster.b, cluster.c];
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
	const gone = cluster.d;
	const totals = async () => {
		const { rules } = await first.figures();
		return Object.fromEntries(rules.map(({ name, receivedPackets }) => [name, receivedPackets]));
	};
	const signal = (name: string, how: NodeJS.Signals) =>
		process.kill(childrenOf(first.pid).get(name) ?? 0, how);
	const forget = () => first.cli("host", "forget", gone.hostId);
	await gen(lab.a, { to: "to-d:239.2.1.2:5002", rate: 2_000, count: 300 });
	await first.publications(2);
	await gone.down();
	const before = await totals();
	expect(before["diamond-2-d"]).toBe(300);
	const forgotten = { code: 0, stdout: "host relay-d is forgotten until it comes back\n" };
	expect(await forget()).toEqual({ ...forgotten, stderr: "" });
	for (const name of ["stats-aggregator", "nats-server"]) signal(name, "SIGKILL");
	const after = await until("there are figures again", () => totals().catch(() => undefined));
	expect(after).toEqual(before);
	await gone.join(first);
	await gone.down();
	await standStill(childrenOf(first.pid).get("stats-aggregator") ?? 0);
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
	const dead = cluster.b;
	// What ends with it ends in order, and does not say that anybody wanted it.
	process.kill(dead.pid, "SIGKILL");
	await until("relay-c says that relay-b is gone", async () => {
		const { stderr } = await cluster.c.cli("host", "list");
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
	const old = cluster.d;
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

test("a host that is refused while it runs relays on and says why once, and so does the list", async () => {
	const refused = cluster.c;
	refused.log = "";
	await cluster.flowThrough(async () => {
		await first.sluice("credentials", "revoke", "host", "relay-c");
		await until("the list says so", async () =>
			(await first.cli("host", "list")).stderr.includes("relay-c not seen for") ? true : undefined,
		);
	});
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
