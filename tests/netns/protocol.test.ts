import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Cluster } from "./lab/cluster.ts";
import { until } from "./lab/commands.ts";
import type { Hosts } from "./lab/hosts.ts";
import { assertAccounts, Relay } from "./lab/relay.ts";
import { faults, gen, genUntilStopped, NO_FAULTS, recv } from "./lab/traffic.ts";

const ROOT = resolve(import.meta.dir, "../..");
const COUNT = 500;

let cluster: Cluster;
let lab: Hosts;
let first: Relay;
let b: Relay;
let c: Relay;

beforeAll(async () => {
	cluster = await Cluster.create();
	({ lab, first, b, c } = cluster);
	await b.join(first);
	const rule = ["--in", "from-a:239.1.1.1:5001", "--out", "out:239.10.1.1:6001", "--host", "relay-b"];
	await first.sluice("rule", "add", "video", ...rule);
});

afterAll(() => cluster?.remove());

/** As a control-api of another version would stamp the bucket of rules; answers what it said before. */
async function stamp(version: number): Promise<void> {
	const ask = async (subject: string, payload: string) => {
		const credentials = `${first.dataDir}/credentials/control-api.json`;
		const requester = [`${ROOT}/.tools/bin/bun`, `${import.meta.dir}/lab/requester.ts`, credentials];
		const line = await lab.a.must(requester, { input: JSON.stringify({ subject, payload }) });
		const answer = JSON.parse((JSON.parse(line) as { payload: string }).payload) as StreamAnswer;
		if (answer.error) throw new Error(answer.error.description);
		return answer;
	};
	const { config } = await ask("$JS.API.STREAM.INFO.KV_sluice_rules", "");
	const metadata = { ...config.metadata, sluice_protocol: String(version) };
	await ask("$JS.API.STREAM.UPDATE.KV_sluice_rules", JSON.stringify({ ...config, metadata }));
}

interface StreamAnswer {
	config: { metadata?: Record<string, string> };
	error?: { description: string };
}

const holds = (relay: Relay, line: string) =>
	until(`${relay.hostId} holds: ${line}`, async () =>
		(await first.sluice("host", "list")).includes(`${relay.hostId} holds: ${line}\n`) ? true : undefined,
	);

async function relayedByB(): Promise<number> {
	const receiver = await recv(lab.lb, { in: "l0:239.10.1.1:6001", idleSeconds: 60 });
	await gen(lab.a, { to: "to-b:239.1.1.1:5001", rate: COUNT, count: COUNT });
	// By the time that its worker tells of what came, it has sent it.
	await first.publications(1);
	const report = await receiver.complete();
	expect(faults(report)).toEqual(NO_FAULTS);
	return report.receivedPackets;
}

/** All of them, or it fails. */
async function relayedByD(rule: number): Promise<void> {
	const receiver = await recv(lab.c, { in: `from-d:239.10.1.${rule}:6001`, expect: COUNT });
	await gen(lab.a, { to: `to-d:239.1.1.${rule}:5001`, rate: COUNT, count: COUNT });
	const report = await receiver.report();
	expect({ got: report.receivedPackets, ...faults(report) }).toEqual({ got: COUNT, ...NO_FAULTS });
}

test("a host of another cluster is refused with its keys, with new ones holds its own rules, which restore brings with what they counted", async () => {
	const receiver = await recv(lab.lb, { in: "l0:239.10.1.1:6001", idleSeconds: 60 });
	const stop = genUntilStopped(lab.a, { to: "to-b:239.1.1.1:5001", rate: COUNT });
	const other = new Relay(lab.d, "relay-d");
	try {
		await other.up("--workers", "1");
		// Of no host by name: here two have the interface, and there it is the only one.
		const theirs = ["--in", "from-a:239.1.1.9:5001", "--out", "to-c:239.10.1.9:6001"];
		await other.sluice("rule", "add", "video", ...theirs.with(1, "from-a:239.1.1.1:5001"));
		await other.sluice("rule", "add", "theirs", ...theirs);
		const own = ["--in", "from-a:239.1.1.8:5001", "--out", "to-c:239.10.1.8:6001", "--host", "relay-d"];
		await other.sluice("rule", "add", "own", ...own);
		const nats = `nats://${lab.natsAddress}:4222`;
		const file = `${other.dataDir}/x.json`;
		await other.sluice("credentials", "host", "relay-x", "--nats", nats, "--out", file);
		await other.down();
		expect(await other.cli("up", "--credentials", file)).toEqual({
			code: 1,
			stdout: "",
			stderr: `sluice: NATS at ${nats} refuses the credentials of this host: make this host's file anew on the cluster's first host with sluice credentials host relay-x, bring it here, and start sluice up with it\n`,
		});
		await other.join(first);
		const lacks = "the bucket of rules is new or another cluster's and lacks 2 of the 3 that this host holds";
		const remedy = "sluice cluster restore puts them back, sluice cluster accept drops them";
		await holds(other, `${lacks}: ${remedy}`);
		await relayedByD(9);
		await relayedByD(8);
		// What the run that ends has counted is told while the bucket has no such rule.
		await other.down();
		await other.join(first);
		await relayedByD(8);
		expect(await first.sluice("cluster", "restore")).toBe("+ own\n+ theirs\n2 rules restored from relay-d\n");
		await until("both runs are in the totals", async () => {
			const figures = await first.figures();
			assertAccounts(figures);
			const counted = figures.rules.find(({ name }) => name === "own")?.receivedPackets ?? 0;
			expect(counted).toBeLessThanOrEqual(2 * COUNT);
			return counted === 2 * COUNT ? true : undefined;
		});
	} finally {
		await other.remove();
	}
	const sent = await stop();
	const report = await receiver.reportAfter(sent);
	expect({ got: report.receivedPackets, ...faults(report) }).toEqual({ got: sent, ...NO_FAULTS });
});

test("a cluster that goes on to a later protocol leaves a host behind, which relays on and says so", async () => {
	const line = "this host speaks protocol 2 and the cluster 99: bring this host up to it";
	await stamp(99);
	await holds(b, line);
	// What the cluster says now may mean something else: it is not followed.
	await first.sluice("rule", "remove", "video");
	expect(await relayedByB()).toBe(COUNT);
	expect(b.log).toContain(`holding: ${line}`);
	await expect(c.join(first)).rejects.toThrow("ended with 1");
	expect(c.log).toContain(`\nsluice: supervisor does not start: ${line}`);
	await holds(c, line);
	expect(existsSync(`${c.dataDir}/credentials/joined.json`)).toBeFalse();
});

test("it follows the cluster again when both speak the same, and a later host waits for an earlier cluster", async () => {
	await stamp(2);
	await until("relay-b holds nothing", async () =>
		(await first.sluice("host", "list")).includes("relay-b holds") ? undefined : true,
	);
	expect(await relayedByB()).toBe(0);
	await stamp(1);
	const line = "this host speaks protocol 2 and the cluster 1: bring the cluster up to this host";
	c.log = "";
	await expect(c.join(first)).rejects.toThrow("ended with 1");
	expect(c.log).toContain(`\nsluice: supervisor does not start: ${line}`);
	await holds(b, line);
});
