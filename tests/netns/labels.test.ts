import { afterAll, beforeAll, expect, test } from "bun:test";
import { childrenOf } from "../e2e/up-processes.ts";
import { Cluster } from "./lab/cluster.ts";
import { until } from "./lab/commands.ts";
import type { Hosts } from "./lab/hosts.ts";
import { connect } from "./lab/namespace.ts";
import type { Relay } from "./lab/relay.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";
import { Watching } from "./lab/watching.ts";

let cluster: Cluster;
let lab: Hosts;
let first: Relay;
let b: Relay;
let c: Relay;

const COUNT = 500;
const RULE = ["--in", "from-a:239.1.1.1:5001", "--out", "out:239.10.1.1:6001"];
const active = (host: string) => ({ host, state: "ACTIVE", reason: "" });
const pending = (host: string, reason: string) => ({ host, state: "PENDING", reason });

beforeAll(async () => {
	cluster = await Cluster.create("--labels", "site=north");
	({ lab, first, b, c } = cluster);
	await Promise.all([
		b.join(first, "--labels", "site=north,role=edge"),
		c.join(first, "--labels", "site=south,role=edge"),
	]);
});

afterAll(() => cluster?.remove());

/** Waits until the rule stands as it should, on each host. */
async function stands(hosts: { host: string; state: string; reason: string }[]): Promise<void> {
	const wanted = JSON.stringify(hosts);
	let seen = "";
	await until(wanted, async () => {
		seen = JSON.stringify((await first.rules())[0]?.hosts);
		return seen === wanted ? true : undefined;
	}).catch((thrown: unknown) => {
		throw new Error(`the rule stands as ${seen}`, { cause: thrown });
	});
}

/** Sends to both hosts; answers what came out behind each of them. */
async function relayed(): Promise<{ b: number; c: number }> {
	const behind = [lab.lb, lab.lc].map((leaf) => recv(leaf, { in: "l0:239.10.1.1:6001", idleSeconds: 60 }));
	const listening = await Promise.all(behind);
	await Promise.all(
		["to-b", "to-c"].map((name) => gen(lab.a, { to: `${name}:239.1.1.1:5001`, rate: COUNT, count: COUNT })),
	);
	// By the time that a worker tells of what came, it has sent it.
	await first.publications(1);
	const [atB, atC] = await Promise.all(listening.map((receiver) => receiver.complete()));
	for (const report of [atB, atC]) expect(report && faults(report)).toEqual(NO_FAULTS);
	return { b: atB?.receivedPackets ?? 0, c: atC?.receivedPackets ?? 0 };
}

test("a rule with labels runs on every host that carries all of them, and on no other", async () => {
	const added = await first.sluice("rule", "add", "edge", ...RULE, "--host-labels", "role=edge");
	expect(added).toBe("rule edge: ACTIVE on relay-b, relay-c\n");
	expect(await relayed()).toEqual({ b: COUNT, c: COUNT });
	expect(await first.sluice("rule", "show", "edge")).toMatch(/^hosts +every one that carries role=edge$/m);
	const exported = await first.sluice("export");
	expect(JSON.parse(exported)).toMatchObject({ rules: [{ hostLabels: { role: "edge" } }] });
	const applied = await first.cliWith(exported, "apply", "-f", "-");
	expect(applied.stdout).toBe("0 added, 0 changed, 0 removed, 1 unchanged\n");
});

test("one host's trouble shows on that host alone", async () => {
	await lab.c.ip("link", "set", "out", "down");
	await stands([active("relay-b"), pending("relay-c", "output interface out is down")]);
	expect(await relayed()).toEqual({ b: COUNT, c: 0 });
	await lab.c.ip("link", "set", "out", "up");
	await stands([active("relay-b"), active("relay-c")]);
});

test("what one host's kernel refuses is FAILED on that host alone, with the reason, and tried again", async () => {
	const limit = (memberships: number) => lab.c.sysctl("net.ipv4.igmp_max_memberships", memberships);
	await limit(0);
	const rule = [
		"--in",
		"from-a:239.1.1.2:5001",
		"--out",
		"out:239.10.1.2:6001",
		"--host-labels",
		"role=edge",
	];
	expect((await first.cli("rule", "add", "refused", ...rule)).code).toBe(1);
	const states = async () => (await first.rules()).find(({ name }) => name === "refused")?.hosts;
	const reason = expect.stringContaining("raise net.ipv4.igmp_max_memberships");
	expect(await states()).toEqual([active("relay-b"), { host: "relay-c", state: "FAILED", reason }]);
	await limit(20);
	await until("it is ACTIVE on both", async () =>
		(await states())?.every(({ state }) => state === "ACTIVE") ? true : undefined,
	);
	await first.sluice("rule", "remove", "refused");
});

test("a host that comes back with other labels takes the rule up or lets it go, by itself", async () => {
	await c.down();
	await c.join(first, "--labels", "site=south,role=core");
	await stands([active("relay-b")]);
	expect(await relayed()).toEqual({ b: COUNT, c: 0 });
	const set = await first.sluice("rule", "set", "edge", ...RULE, "--host-labels", "site=south,role=edge");
	const nobody = "no host carries role=edge,site=south";
	expect(set).toBe(`rule edge: PENDING on relay-a, relay-b, relay-c: ${nobody}\n`);
	await c.down();
	await c.join(first, "--labels", "site=south,role=edge");
	await stands([active("relay-c")]);
	expect(await relayed()).toEqual({ b: 0, c: COUNT });
});

test("labels that cannot be are refused in one line", async () => {
	for (const [words, line] of [
		[
			["rule", "add", "x", ...RULE, "--host", "all", "--host-labels", "role=edge"],
			"--host-labels role=edge: hostLabels: hosts are named too: give one or the other",
		],
		[["rule", "add", "x", ...RULE, "--host-labels", "role"], "--host-labels role: expected k=v,k=v"],
		[
			["rule", "add", "x", ...RULE, "--host-labels", "role=edge"],
			"input: from-a:239.1.1.1:5001 from any source is taken by rule edge: change one of the two, or give both labels that exclude each other, or name different hosts in both",
		],
		[
			["up", "--labels", "$x=1"],
			'--labels: "$x" is not a key: use letters, digits and . _ / -, with a letter or digit first, at most 63',
		],
	] as const) {
		expect(await first.cli(...words)).toEqual({ code: 1, stdout: "", stderr: `sluice: ${line}\n` });
	}
});

test("an interface that goes from one host to another takes the rule along", async () => {
	await first.sluice("rule", "remove", "edge");
	await first.sluice("rule", "add", "moving", "--in", "x0:239.1.1.1:5001", "--out", "out:239.10.1.1:6001");
	const nowhere = ["relay-a", "relay-b", "relay-c"].map((host) => pending(host, "no interface x0 here"));
	await stands(nowhere);
	for (const [host, namespace, leaf] of [
		["relay-b", lab.b, lab.lb],
		["relay-c", lab.c, lab.lc],
	] as const) {
		await connect(
			{ namespace: lab.a, name: "to-x", address: "10.98.0.1/24" },
			{ namespace, name: "x0", address: "10.98.0.2/24" },
		);
		await stands([active(host)]);
		const receiver = await recv(leaf, { in: "l0:239.10.1.1:6001", expect: COUNT });
		await gen(lab.a, { to: "to-x:239.1.1.1:5001", rate: COUNT, count: COUNT });
		const report = await receiver.report();
		expect([report.receivedPackets, faults(report)]).toEqual([COUNT, NO_FAULTS]);
		await lab.a.ip("link", "del", "to-x");
		await stands(nowhere);
	}
	await first.sluice("rule", "remove", "moving");
});

/** How late a timer may be on a busy machine. */
const LATE_MS = 250;

test("a host that died is gone within 3 s, outlives nats-server in what others remember, and is forgotten", async () => {
	await first.sluice("rule", "add", "alone", ...RULE);
	const several = "hosts relay-b, relay-c match: name one, or all";
	await stands([pending("relay-b", several), pending("relay-c", several)]);
	const refused = await first.cli("host", "forget", "relay-c");
	expect(refused.stderr).toMatch(/^sluice: host relay-c is there, seen \d\.\d s ago: stop sluice up there/);
	const operator = `${first.dataDir}/credentials/operator.json`;
	const watching = await Watching.start(lab.a, operator, "sluice.v1.event.host.*.gone");
	await c.kill();
	const gone = await watching.next("relay-c is gone", ({ subject }) => subject.includes(".relay-c."));
	expect(gone.body).toMatchObject({ host: "relay-c", gone: true, stopped: false });
	// Since its last word, after which it died: no reader's lateness is in it.
	expect(Number(gone.body["lastSeenSeconds"]) * 1_000).toBeLessThan(3_000 + LATE_MS);
	watching.stop();
	expect(await first.sluice("host", "list")).toMatch(/^relay-c .* gone, /m);
	// Records are in its memory: nobody but the other hosts knows of relay-c after this.
	process.kill(childrenOf(first.pid).get("nats-server") ?? 0, "SIGKILL");
	await until("the hosts that are there are listed, and no other", async () => {
		const { stdout } = await first.cli("host", "list", "--json");
		return stdout.includes('"relay-b"') && !stdout.includes('"relay-c"') ? true : undefined;
	});
	await stands([pending("relay-b", `${several} (relay-c: remembered, not seen)`)]);
	const forgotten = await first.sluice("host", "forget", "relay-c");
	expect(forgotten).toBe("host relay-c stood in no list; no host remembers it now\n");
	await stands([active("relay-b")]);
	expect(await relayed()).toEqual({ b: COUNT, c: 0 });
});
