import { afterAll, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { until } from "./lab/commands.ts";
import { type Hosts, severalHosts } from "./lab/hosts.ts";
import { Relay } from "./lab/relay.ts";

let lab: Hosts;
let first: Relay;
/** relay-b, relay-c and relay-d. */
let joined: Relay[];
const ALL = ["relay-a", "relay-b", "relay-c", "relay-d"];

beforeAll(async () => {
	lab = await severalHosts();
	first = new Relay(lab.a, "relay-a");
	joined = [lab.b, lab.c, lab.d].map((namespace, index) => new Relay(namespace, ALL[index + 1]));
	await first.up("--workers", "1", "--nats-listen", `${lab.natsAddress}:4222`);
});

afterAll(async () => {
	await Promise.all(joined?.map((relay) => relay.remove()) ?? []);
	await first?.remove();
	await lab?.remove();
});

function relayOf(host: string): Relay {
	const relay = [first, ...joined].find(({ hostId }) => hostId === host);
	if (relay === undefined) throw new Error(`no ${host}`);
	return relay;
}

interface IssuedFile {
	kind: string;
	name: string;
	url: string;
	file: string;
}

async function issue(kind: "host" | "orchestrator", name: string, ...options: string[]): Promise<IssuedFile> {
	return JSON.parse(await first.sluice("credentials", kind, name, "--json", ...options)) as IssuedFile;
}

test("credentials are made while everything runs, hold at once, and cut nobody off", async () => {
	const { url, file } = await issue("orchestrator", "robot");
	expect(url).toBe(`nats://${lab.natsAddress}:4222`);
	expect(statSync(file).mode & 0o777).toBe(0o600);
	const asRobot = (...words: string[]) => first.cli(...words, "--credentials", file);
	const rule = ["--in", "in:239.1.1.1:5001", "--out", "to-b:239.10.1.1:6001"];
	expect(await asRobot("rule", "add", "placed", ...rule)).toMatchObject({
		code: 0,
		stdout: "rule placed: ACTIVE on relay-a\n",
	});
	expect((await asRobot("host", "list")).code).toBe(0);
	expect((await asRobot("stats", "placed")).code).toBe(0);
	expect((await asRobot("rule", "remove", "placed")).code).toBe(0);
	// What is people's is refused by the server itself.
	expect(await asRobot("log", "level", "debug", "--timeout", "1")).toMatchObject({ code: 1, stdout: "" });
	expect(await asRobot("worker", "restart", "--timeout", "1")).toMatchObject({ code: 1 });
	expect(first.log).not.toContain("NATS is away");
});

test("the same command again shows the same file; new keys end the old ones; revoked ones are refused", async () => {
	const copy = `${first.dataDir}/copy.json`;
	const before = await issue("orchestrator", "robot", "--out", copy);
	expect(before.file).toBe(copy);
	const asCopy = () => first.cli("host", "list", "--credentials", copy);
	expect((await asCopy()).code).toBe(0);
	const renewed = await issue("orchestrator", "robot", "--renew");
	expect(await asCopy()).toMatchObject({ code: 1, stdout: "" });
	expect((await asCopy()).stderr).toContain("refuses these credentials");
	expect((await first.cli("host", "list", "--credentials", renewed.file)).code).toBe(0);
	expect(await first.sluice("credentials", "list", "--json")).toBe(
		`{"credentials":[{"kind":"orchestrator","name":"robot","file":"${renewed.file}"}]}\n`,
	);
	const revoked = await first.sluice("credentials", "host", "relay-z", "--out", `${first.dataDir}/z.json`);
	expect(revoked).toContain("sudo ./sluice up --credentials FILE");
	await first.sluice("credentials", "revoke", "orchestrator", "robot");
	await first.sluice("credentials", "revoke", "host", "relay-z");
	expect(await first.sluice("credentials", "list")).toStartWith("none: ");
	const again = await first.cli("credentials", "revoke", "orchestrator", "robot");
	expect(again.stderr).toBe(
		"sluice: there are no credentials of orchestrator robot: see sluice credentials list\n",
	);
	await until("what ran before is still connected", async () =>
		(await first.rules()).length === 0 ? true : undefined,
	);
	expect(first.log).not.toContain("NATS is away");
});

test("credentials that cannot be are refused in one line", async () => {
	for (const [words, line] of [
		[
			["host", "Relay"],
			"Relay: expected a-z, 0-9 and -, with a letter or digit first, at most 63 characters",
		],
		[["host", "all"], "all: expected a name of its own: rules mean every host by all"],
		[["revoke", "user", "x"], "user: expected one of host, orchestrator"],
	] as const) {
		const outcome = await first.cli("credentials", ...words);
		expect(outcome).toEqual({ code: 1, stdout: "", stderr: `sluice: ${line}\n` });
	}
	const elsewhere = await lab.b.run([...first.command, "credentials", "host", "x", "--data-dir", "/nowhere"]);
	expect(elsewhere.stderr).toBe(
		"sluice: no nats-server of sluice up on this host, /nowhere/nats.conf does not exist: ask on the host that the others join\n",
	);
});

test("a host joins with its file alone, and every host shows all of them", async () => {
	await Promise.all(
		joined.map(async (relay) => {
			const { file } = await issue("host", relay.hostId);
			await relay.up("--credentials", file, "--workers", "1");
		}),
	);
	for (const relay of [first, ...joined]) {
		const { hosts } = JSON.parse(await relay.sluice("host", "list", "--json")) as {
			hosts: { host: string; lastSeenSeconds: number; interfaces: { name: string }[] }[];
		};
		expect(hosts.map(({ host }) => host)).toEqual(ALL);
		expect(hosts.every(({ lastSeenSeconds }) => lastSeenSeconds <= 3)).toBeTrue();
		expect(hosts[1]?.interfaces.map(({ name }) => name)).toEqual(
			expect.arrayContaining(["from-a", "to-c", "out"]),
		);
	}
	// What runs on a joined host may look; who may change the cluster is the operator's choice.
	const outcome = await relayOf("relay-b").cli("rule", "remove", "x");
	expect(outcome.stderr).toStartWith("sluice: this request can change the cluster");
});

test("an id that another host has is refused by name, and that one relays on", async () => {
	const { file } = await issue("host", "relay-c");
	const second = new Relay(lab.d, "relay-c");
	try {
		await expect(second.up("--credentials", file, "--workers", "1")).rejects.toThrow("ended with 1");
		expect(second.log).toEndWith("or stop that one: the log above says more\n");
		expect(second.log).toMatch(
			/\nsluice: supervisor does not start: host id relay-c is in use by another sluice up, at 10\./,
		);
	} finally {
		await second.remove();
	}
	expect(relayOf("relay-c").log).not.toContain("is in use");
});

test("a cluster that cannot be joined is one line", async () => {
	const stranger = new Relay(lab.d, "relay-z");
	const { file } = await issue("host", "relay-z");
	const join = (...words: string[]) =>
		stranger.cli("up", "--host-id", "relay-z", "--credentials", file, ...words);
	const away = await join("--nats", "nats://10.99.0.9:4222");
	expect(away).toMatchObject({ code: 3, stdout: "" });
	expect(away.stderr).toMatch(/^sluice: NATS at nats:\/\/10\.99\.0\.9:4222 is not reachable: [^\n]*\n$/);
	// A copy of what is then revoked.
	await issue("host", "relay-z", "--out", `${first.dataDir}/z.json`);
	await first.sluice("credentials", "revoke", "host", "relay-z");
	const refused = await stranger.cli("up", "--credentials", `${first.dataDir}/z.json`);
	expect(refused).toMatchObject({
		code: 1,
		stdout: "",
		stderr: `sluice: NATS at nats://${lab.natsAddress}:4222 refuses these credentials: make them anew there with sluice credentials host relay-z\n`,
	});
	await stranger.remove();
});
