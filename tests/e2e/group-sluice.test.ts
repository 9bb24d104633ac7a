import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, copyFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Outcome } from "../netns/lab/commands.ts";
import { Namespace } from "../netns/lab/namespace.ts";
import { Relay } from "../netns/lab/relay.ts";

const ROOT = resolve(import.meta.dir, "../..");

let namespace: Namespace;
let relay: Relay;

beforeAll(async () => {
	namespace = await Namespace.create("relay");
	relay = new Relay(namespace);
	await relay.up("--workers", "1");
	// Where others can come: as /var/lib/sluice and an installed tree are.
	const home = dirname(relay.dataDir);
	chmodSync(home, 0o755);
	copyFileSync(`${ROOT}/build/cli.js`, `${home}/cli.js`);
	copyFileSync(`${ROOT}/.tools/bin/bun`, `${home}/bun`);
	for (const file of ["cli.js", "bun"]) chmodSync(`${home}/${file}`, 0o755);
});

afterAll(async () => {
	await relay?.remove();
	await namespace?.remove();
});

/** The command line as somebody without root, in these groups only. */
async function as(groups: string[], ...words: string[]): Promise<Outcome> {
	const home = dirname(relay.dataDir);
	const drop = [
		"--reuid=nobody",
		"--regid=nogroup",
		groups.length ? `--groups=${groups.join()}` : "--clear-groups",
	];
	return namespace.run([
		...["setpriv", ...drop, "--inh-caps=-all"],
		...[`${home}/bun`, `${home}/cli.js`, ...words, "--data-dir", relay.dataDir],
	]);
}

test("members of group sluice read without root", async () => {
	for (const words of [["rule", "list"], ["stats"], ["host", "list"], ["worker", "list"], ["export"]]) {
		expect(await as(["sluice"], ...words)).toMatchObject({ code: 0, stderr: "" });
	}
});

test("they change nothing, and are told how one does", async () => {
	const rule = ["two", "--in", "lo:239.1.1.1:5001", "--out", "lo:239.1.1.2:5001"];
	for (const words of [
		["rule", "add", ...rule],
		["rule", "remove", "two"],
		["log", "level", "debug"],
	]) {
		const outcome = await as(["sluice"], ...words);
		expect(outcome.code).toBe(1);
		expect(outcome.stderr).toMatch(/^sluice: .*use sudo.*\n$/);
	}
	expect(await relay.rules()).toEqual([]);
});

test("what only shows, but asks by a request that can change, is refused with that reason", async () => {
	const file = `${dirname(relay.dataDir)}/rules.json5`;
	writeFileSync(file, "{ rules: [] }", { mode: 0o644 });
	for (const words of [
		["log", "level"],
		["apply", "--dry-run", "-f", file],
	]) {
		const outcome = await as(["sluice"], ...words);
		expect(outcome.code).toBe(1);
		expect(outcome.stderr).toMatch(/^sluice: this request can change the cluster, .*use sudo.*\n$/);
	}
});

test("others are told that they may not read", async () => {
	const outcome = await as([], "rule", "list");
	expect(outcome.code).toBe(1);
	expect(outcome.stderr).toMatch(/^sluice: .*\n$/);
});
