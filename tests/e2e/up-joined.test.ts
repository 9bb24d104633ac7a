import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { resolve } from "node:path";
import { type Outcome, until } from "../netns/lab/commands.ts";
import { Namespace } from "../netns/lab/namespace.ts";
import { Relay } from "../netns/lab/relay.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** Where a second cluster finds room beside the first. */
const ELSEWHERE = ["--nats-listen", "127.0.0.1:14222", "--http", "127.0.0.1:17080"];
const FIRST = "nats://127.0.0.1:4222";

let namespace: Namespace;
/** The first host of a cluster. */
let first: Relay;
/** Ran alone before it joins. */
let second: Relay;
/** What `second` joins with. */
let file: string;

beforeAll(async () => {
	namespace = await Namespace.create("join");
	first = new Relay(namespace);
	second = new Relay(namespace, "relay-b");
	await Promise.all([first.up("--workers", "1"), second.up("--workers", "1", ...ELSEWHERE)]);
	await second.down();
	file = await issue("relay-b");
});

afterAll(async () => {
	await second?.remove();
	await first?.remove();
	await namespace?.remove();
});

/** To the cluster of `first`, which is on this host for the test alone. */
async function issue(host: string): Promise<string> {
	const path = `${first.dataDir}/for-${host}.json`;
	await first.sluice("credentials", "host", host, "--out", path);
	return path;
}

/** Every file of the credentials, and what is in it. */
function credentialsOf({ dataDir }: Relay): Record<string, string> {
	const folder = `${dataDir}/credentials`;
	return Object.fromEntries(
		readdirSync(folder).map((name) => [name, readFileSync(`${folder}/${name}`, "utf8")]),
	);
}

async function hostsSeenBy(relay: Relay): Promise<string[]> {
	const { hosts } = JSON.parse(await relay.sluice("host", "list", "--json")) as { hosts: { host: string }[] };
	return hosts.map(({ host }) => host);
}

function refusal(line: string): Outcome {
	return { code: 1, stdout: "", stderr: `sluice: ${line}\n` };
}

test("where a cluster ran alone, commands ask the one that was joined, and make no keys for the old one", async () => {
	const before = credentialsOf(second);
	await second.up("--workers", "1", "--credentials", file);
	expect(await hostsSeenBy(second)).toEqual(["relay-a", "relay-b"]);
	const elsewhere = refusal(
		`this host has joined the cluster at ${FIRST}, and credentials are made where that runs: ask on its first host`,
	);
	for (const words of [
		["host", "relay-c"],
		["orchestrator", "robot"],
		["revoke", "host", "relay-c"],
		["list"],
	])
		expect(await second.cli("credentials", ...words)).toEqual(elsewhere);
	expect(credentialsOf(second)).toEqual({ ...before, "joined.json": expect.any(String) });
});

test("the first host's list says who may join and was not heard", async () => {
	const { stderr } = await first.cli("host", "list");
	expect(stderr).not.toContain("credentials");
	await first.sluice("credentials", "host", "relay-z");
	expect(await first.cli("host", "list")).toMatchObject({
		code: 0,
		stderr: `${stderr}sluice: host relay-z has credentials, and was not heard since nats-server started, though it may relay: look at sluice up there, or take them back with sluice credentials revoke host relay-z\n`,
	});
	await first.sluice("credentials", "revoke", "host", "relay-z");
	expect((await first.cli("host", "list")).stderr).toBe(stderr);
	expect((await second.cli("host", "list")).stderr).toBe(stderr);
});

test("the lists of the first host say which hosts it keeps out, and what lets them in", async () => {
	const lacking =
		"nats-server refuses it, since it has no credentials here: make some with sluice credentials host";
	const told = (list: string, line: string) =>
		until(
			`${list} says ${line}`,
			async () => (await first.cli(list, "list")).stderr.includes(line) || undefined,
		);
	const rule = ["--in", "lo:239.1.1.1:5001", "--out", "lo:239.1.1.2:5001", "--host", "relay-b"];
	await first.sluice("rule", "add", "far", ...rule, "--host", "relay-q");
	await told("rule", `host relay-q is not known: ${lacking} relay-q\n`);
	await first.sluice("credentials", "host", "relay-b", "--renew");
	const anew = `its credentials were made anew since, as by sluice credentials host relay-b --renew: bring it ${first.dataDir}/credentials/host-relay-b.json, `;
	await told("host", anew);
	await told("rule", anew);
	await first.sluice("credentials", "revoke", "host", "relay-b");
	await told("rule", `${lacking} relay-b, or `);
	await first.sluice("rule", "remove", "far");
});

test("a revoked host says where its file is made anew, and what it keeps stays as it was", async () => {
	const refused = refusal(
		`NATS at ${FIRST} refuses the credentials of this host: make this host's file anew on the cluster's first host with ` +
			"sluice credentials host relay-b, bring it here, and start sluice up with it",
	);
	expect(await second.cli("rule", "list")).toEqual(refused);
	await second.down();
	const before = credentialsOf(second);
	expect(await second.cli("up", "--credentials", file)).toEqual(refused);
	expect(credentialsOf(second)).toEqual(before);
	await issue("relay-b");
});

test("a joined directory starts a cluster of its own on purpose only, and then the one it had", async () => {
	await second.down();
	const marker = `${second.dataDir}/credentials/joined.json`;
	expect(await second.cli("up", "--host-id", "relay-b", ...ELSEWHERE)).toEqual(
		refusal(
			`${second.dataDir} has joined the cluster at ${FIRST}: add --credentials ${file} to join it again, ` +
				`or remove ${marker} to start a cluster of its own`,
		),
	);
	await second.up("--workers", "1", "--credentials", file, "--nats", FIRST);
	await second.down();
	expect((await second.cli("up", ...ELSEWHERE)).stderr).toContain(
		`: add --nats ${FIRST} --credentials ${file} to join it again, `,
	);
	rmSync(marker);
	await second.up("--workers", "1", ...ELSEWHERE);
	expect(await hostsSeenBy(second)).toEqual(["relay-b"]);
	await second.down();
});

test("a first join marks the directory when it was let in, or starts from kept rules, not only when it serves", async () => {
	const marker = `${second.dataDir}/credentials/joined.json`;
	// As if no cluster of its own had ever run there.
	rmSync(`${second.dataDir}/nats.conf`);
	for (const nats of [FIRST, "nats://127.0.0.1:9"]) {
		rmSync(marker, { force: true });
		// What it starts finds no library: it never serves.
		const script = `exec 50<${ROOT}/build/libsluice.so && SLUICE_LIB=/proc/self/fd/50 exec "$@"`;
		namespace.startBy("bash", "-c", script, "bash");
		const up = second.up("--workers", "1", "--credentials", file, "--nats", nats).catch(String);
		namespace.startBy();
		await until("it is marked", () => existsSync(marker) || undefined);
		process.kill(second.pid, "SIGKILL");
		expect(await up).toContain("ended with");
		expect((await second.cli("up", ...ELSEWHERE)).stderr).toContain(`has joined the cluster at ${nats}: `);
	}
	rmSync(marker);
	symlinkSync("nowhere", marker);
	expect(await second.cli("rule", "list")).toEqual(
		refusal(
			`${marker} is no file: remove it, and start sluice up with --credentials FILE, which writes it anew`,
		),
	);
});
