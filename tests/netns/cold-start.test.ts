import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { childrenOf } from "../e2e/up-processes.ts";
import { must, until } from "./lab/commands.ts";
import { Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const ROOT = resolve(import.meta.dir, "../..");
const UP = [`${ROOT}/.tools/bin/bun`, `${ROOT}/build/cli.js`, "up", "--host-id", "relay-a", "--workers", "1"];

let lab: Chain;
let relay: Relay;

beforeEach(async () => {
	lab = await chain();
	relay = new Relay(lab.relay);
	await relay.up("--workers", "1");
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
	await relay.sluice("rule", "add", "audio", "--in", "r0:239.1.1.2:5001", "--out", "r1:239.10.1.2:6001");
});

afterEach(async () => {
	await relay.remove();
	await lab.remove();
});

const LOST = /lacks 2 of the 2 that this host holds: sluice cluster restore puts them back/;

function wipeStore(): void {
	rmSync(`${relay.dataDir}/nats/jetstream`, { recursive: true, force: true });
}

async function flows(count = 500): Promise<void> {
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count });
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count });
	const report = await receiver.report();
	expect([faults(report), report.receivedPackets]).toEqual([NO_FAULTS, count]);
}

/** Names with uids, once all of them are ACTIVE. */
async function activeRules(): Promise<[string, string][]> {
	const rules = await until("all rules are ACTIVE", async () => {
		const all = await relay.rules();
		return all.every(({ hosts }) => hosts.every(({ state }) => state === "ACTIVE")) ? all : undefined;
	});
	return rules.map(({ name, uid }) => [name, uid]);
}

async function holding(): Promise<string> {
	const { hosts } = JSON.parse(await relay.sluice("host", "list", "--json")) as {
		hosts: { holding: string }[];
	};
	return hosts[0]?.holding ?? "";
}

function untilHolding(): Promise<string> {
	return until("the host says that it holds", async () => {
		const outcome = await relay.cli("host", "list");
		return LOST.test(outcome.stdout) ? holding() : undefined;
	});
}

test("a store that is empty at the next start: rules go on, it is said, and restore brings them back as they were", async () => {
	const before = await activeRules();
	expect(await relay.down()).toBe(0);
	wipeStore();
	await relay.up("--workers", "1");
	const said = await untilHolding();
	expect(said).toStartWith("the bucket of rules is new or another cluster's and lacks 2");
	expect(said).toMatch(LOST);
	await flows();
	expect(relay.log).toMatch(/"level":"error"[^\n]*holding: the bucket of rules/);
	const list = await relay.cli("rule", "list");
	expect([list.code, list.stdout]).toEqual([0, "no rules yet: add one with sluice rule add\n"]);
	expect(list.stderr).toMatch(LOST);
	const added = await relay.cli(
		...["rule", "add", "late", "--in", "r0:239.1.1.3:5001", "--out", "r1:239.10.1.3:6001"],
	);
	expect([added.code, added.stdout]).toEqual([
		0,
		expect.stringMatching(/^rule late: PENDING on relay-a: holding/),
	]);
	expect(await relay.cli("cluster", "restore")).toEqual({
		code: 0,
		stdout: "+ audio\n+ video\n2 rules restored from relay-a\n",
		stderr: "sluice: relay-a holds 2 rules: audio, video\n",
	});
	const after = await activeRules();
	expect(after.filter(([name]) => name !== "late")).toEqual(before);
	expect(after).toHaveLength(3);
	expect(await holding()).toBe("");
	await flows();
	expect(await relay.sluice("cluster", "restore")).toBe("no host holds rules: nothing to do\n");
});

test("a store that is lost while everything runs: no datagram is, and accept drops what is held", async () => {
	const count = 12_000;
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count });
	const sent = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count });
	process.kill(childrenOf(relay.pid).get("nats-server") ?? 0, "SIGKILL");
	wipeStore();
	expect(await untilHolding()).toMatch(LOST);
	await sent;
	expect(faults(await receiver.report())).toEqual(NO_FAULTS);
	// A backup must not take the place of the one before in silence.
	const exported = await relay.cli("export");
	expect(exported).toMatchObject({
		code: 0,
		stderr: expect.stringMatching(/^sluice: warning: .*relay-a.*\n$/),
	});
	const waits = ["late", "--in", "r9:239.1.1.3:5001", "--out", "r1:239.10.1.3:6001", "--host", "relay-a"];
	expect(await relay.sluice("rule", "add", ...waits)).toMatch(/^rule late: PENDING on relay-a: holding/);
	expect(await relay.cli("cluster", "accept")).toEqual({
		code: 0,
		stdout: "what was lost is no longer held by relay-a\n",
		stderr: expect.stringMatching(
			/^sluice: relay-a holds 2 rules: audio, video\nsluice: rule late: PENDING on relay-a: [^\n]*r9[^\n]*\n$/,
		),
	});
	await relay.sluice("rule", "remove", "late");
	await until("nothing is held", async () => ((await holding()) === "" ? true : undefined));
	expect(await relay.rules()).toEqual([]);
	await until("the groups are left", async () =>
		(await lab.relay.read("/proc/net/igmp")).includes("010101EF") ? undefined : true,
	);
	// What was accepted is what the next start finds.
	await relay.down();
	await relay.up("--workers", "1");
	expect(await holding()).toBe("");
	expect(await relay.rules()).toEqual([]);
});

/** Starts `up` without waiting for what cannot come; answers the way to end it. */
async function upWithoutNats(argv: string[], alsoSays = /./): Promise<() => Promise<number>> {
	const child = lab.relay.start(argv);
	let log = "";
	void (async () => {
		for await (const bytes of child.stderr) log += new TextDecoder().decode(bytes);
	})();
	try {
		await until("the rules are ACTIVE", () => /"rule":"video"[^\n]*ACTIVE/.test(log) || undefined, 40_000);
	} catch (thrown) {
		child.kill("SIGTERM");
		throw new Error(`${thrown}\n${log}`);
	}
	expect(log).toMatch(/"level":"error"[^\n]*"rules":2[^\n]*NATS is not there: the rules last known flow/);
	expect(log).toMatch(alsoSays);
	return async () => {
		child.kill("SIGTERM");
		return await child.exited;
	};
}

test("a nats-server that does not come up: the rules last known flow from disk, longer than up would have tried", async () => {
	await relay.down();
	const broken = `${relay.dataDir}/../nats-server`;
	writeFileSync(
		broken,
		'#!/bin/sh\ncase "$1" in -v | --version) echo nats-server: v2.10.27 ;; *) exit 1 ;; esac\n',
	);
	chmodSync(broken, 0o755);
	const argv = ["env", `SLUICE_NATS_SERVER=${broken}`, ...UP, "--data-dir", relay.dataDir];
	const stop = await upWithoutNats(argv);
	// The supervisor gives up on nothing, and the keeper would have after four deaths, 2 s.
	await flows(6_000);
	const list = await relay.cli("rule", "list");
	expect([list.code, list.stdout]).toEqual([3, ""]);
	expect(await stop()).toBe(0);
});

test("a cluster elsewhere that does not answer: the rules last known flow from disk, though that is full", async () => {
	await relay.down();
	const full = `${relay.dataDir}/../full`;
	mkdirSync(full);
	await must(["mount", "-t", "tmpfs", "-o", "size=2m", "none", full]);
	await must(["cp", "-a", `${relay.dataDir}/supervisor`, `${relay.dataDir}/installation`, full]);
	const seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
	const url = "nats://127.0.0.1:9";
	const file = `${relay.dataDir}/host.json`;
	const keys = { supervisor: { seed }, worker: { seed }, reader: { seed } };
	writeFileSync(file, JSON.stringify({ kind: "host", host: "relay-a", url, ...keys }), { mode: 0o600 });
	// It makes its folders and files while there is room.
	const argv = [...UP, "--data-dir", full, "--nats", url, "--credentials", file];
	try {
		expect(await (await upWithoutNats(argv))()).toBe(0);
		await lab.relay.run(["dd", "if=/dev/zero", `of=${full}/filler`, "bs=4096"]);
		const stop = await upWithoutNats(argv, /the disk is full: [^\n]*: meanwhile nothing new is kept/);
		await flows();
		expect(await stop()).toBe(0);
	} finally {
		await must(["umount", full]);
	}
});

test("a file of rules that is damaged is put aside, and the store's rules are applied", async () => {
	await relay.down();
	const kept = `${relay.dataDir}/supervisor/desired`;
	writeFileSync(kept, "SLKD damaged");
	await relay.up("--workers", "1");
	await activeRules();
	await flows();
	expect(relay.log.match(/supervisor\/desired is ignored and put aside: it has only 12 bytes/g)).toHaveLength(
		1,
	);
	expect(existsSync(`${kept}.corrupt`)).toBeTrue();
	expect(existsSync(kept)).toBeTrue();
});
