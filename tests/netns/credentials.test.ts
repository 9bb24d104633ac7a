import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { until } from "./lab/commands.ts";
import { Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";

const NATS = "10.2.0.1:4222";

let lab: Chain;
let first: Relay;

beforeAll(async () => {
	lab = await chain();
	first = new Relay(lab.relay);
	await first.up("--workers", "1", "--nats-listen", NATS);
});

afterAll(async () => {
	await first?.remove();
	await lab?.remove();
});

test("credentials are made while everything runs, hold at once, and cut nobody off", async () => {
	const { url, file } = await first.issue("orchestrator", "robot");
	expect(url).toBe(`nats://${NATS}`);
	expect(statSync(file).mode & 0o777).toBe(0o600);
	const asRobot = (...words: string[]) => first.cli(...words, "--credentials", file);
	const rule = ["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"];
	expect(await asRobot("rule", "add", "placed", ...rule)).toMatchObject({
		code: 0,
		stdout: "rule placed: ACTIVE on relay-a\n",
	});
	expect((await asRobot("host", "list")).code).toBe(0);
	expect((await asRobot("stats", "placed")).code).toBe(0);
	expect((await asRobot("rule", "remove", "placed")).code).toBe(0);
	// What is people's is refused by the server itself.
	expect(await asRobot("log", "level", "debug")).toMatchObject({ code: 1, stdout: "" });
	expect(await asRobot("worker", "restart")).toMatchObject({ code: 1 });
	expect(first.log).not.toContain("NATS is away");
});

test("the same command again shows the same file; new keys end the old ones; revoked ones are refused", async () => {
	const copy = `${first.dataDir}/copy.json`;
	const before = await first.issue("orchestrator", "robot", "--out", copy);
	expect(before.file).toBe(copy);
	const asCopy = () => first.cli("host", "list", "--credentials", copy);
	expect((await asCopy()).code).toBe(0);
	const renewed = await first.issue("orchestrator", "robot", "--renew");
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

test("a file that was made with the loopback's URL says by which one others reach nats-server now", async () => {
	const words = ["credentials", "host", "relay-y"];
	const { stdout, stderr } = await first.cli(...words, "--nats", "nats://127.0.0.1:4222");
	expect(stdout).not.toContain("copy that file");
	expect(stderr).toBe(
		"sluice: nats://127.0.0.1:4222 is relay-y itself when it asks there: give this command --nats nats://10.2.0.1:4222, where nats-server listens\n",
	);
	expect((await first.cli(...words)).stderr).toBe(stderr);
	expect(await first.cli(...words, "--nats", `nats://${NATS}`)).toMatchObject({ code: 0, stderr: "" });
	await first.sluice("credentials", "revoke", "host", "relay-y");
});

test("of commands at once all show the same file", async () => {
	for (let round = 0; round < 4; round += 1) {
		const name = `twin-${round}`;
		const copies = [0, 1, 2, 3].map((copy) => `${first.dataDir}/${name}-${copy}.json`);
		const issued = copies.map((copy) => first.issue("orchestrator", name, "--out", copy));
		await Promise.all(issued);
		const texts = new Set(copies.map((copy) => readFileSync(copy, "utf8")));
		expect(texts.size).toBe(1);
		await first.sluice("credentials", "revoke", "orchestrator", name);
	}
}, 120_000);

test("a pipe in place of a file is refused by name, and not waited for", async () => {
	const folder = `${first.dataDir}/credentials`;
	for (const [name, words] of [
		["lock", ["orchestrator", "robot"]],
		["orchestrator-robot.json", ["orchestrator", "robot"]],
		["orchestrator-robot.json", ["revoke", "orchestrator", "robot"]],
	] as const) {
		const pipe = `${folder}/${name}`;
		rmSync(pipe, { force: true });
		await lab.relay.must(["mkfifo", pipe]);
		const outcome = await first.cli("credentials", ...words);
		rmSync(pipe);
		const stderr = `sluice: ${pipe} is no file: remove it, and up makes it anew\n`;
		expect(outcome).toEqual({ code: 1, stdout: "", stderr });
	}
});

test("credentials that cannot be are refused in one line", async () => {
	for (const [words, line] of [
		[
			["host", "Relay"],
			"Relay: expected a-z, 0-9 and -, with a letter or digit first, at most 63 characters",
		],
		[["host", "all"], "all: expected a name of its own: rules mean every host by all"],
		[
			["host", "relay-a"],
			"relay-a: expected another host: this is the cluster's first one, which has its keys from its own up",
		],
		[["revoke", "user", "x"], "user: expected one of host, orchestrator"],
	] as const) {
		const outcome = await first.cli("credentials", ...words);
		expect(outcome).toEqual({ code: 1, stdout: "", stderr: `sluice: ${line}\n` });
	}
	// What /dev/null and /dev/stdout are, without risk to them.
	const folder = `${first.dataDir}/out`;
	const [device, link] = [`${folder}/device`, `${folder}/link`];
	mkdirSync(folder);
	await lab.relay.must(["mknod", device, "c", "1", "3"]);
	await lab.relay.must(["ln", "-s", "/proc/self/fd/1", link]);
	for (const out of [device, link, folder]) {
		const { code, stderr } = await first.cli("credentials", "host", "relay-z", "--out", out);
		const line = `sluice: --out ${out} is no ordinary file: name another, or - for standard output\n`;
		expect({ code, stderr }).toEqual({ code: 1, stderr: line });
	}
	rmSync(folder, { recursive: true });
	expect(await first.sluice("credentials", "list")).not.toContain("relay-z");
	const elsewhere = await lab.dst.run([
		...first.command,
		"credentials",
		"host",
		"x",
		"--data-dir",
		"/nowhere",
	]);
	expect(elsewhere.stderr).toBe(
		"sluice: no nats-server of sluice up on this host, /nowhere/nats.conf does not exist: ask on the host that the others join\n",
	);
});

test("while the address that nats-server listens on is gone from this host, a command says so", async () => {
	const listed = () => first.cli("host", "list", "--timeout", "2");
	await lab.relay.ip("address", "del", "10.2.0.1/24", "dev", "r1");
	expect(await listed()).toMatchObject({
		code: 3,
		stderr: expect.stringMatching(
			/: the address that --nats-listen names is gone from this host: give it back, or start sluice up with another\n$/,
		),
	});
	await lab.relay.ip("address", "add", "10.2.0.1/24", "dev", "r1");
	await until("it is answered again", async () => ((await listed()).code === 0 ? true : undefined));
});
