import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { until } from "../netns/lab/commands.ts";
import { Namespace } from "../netns/lab/namespace.ts";
import { Relay } from "../netns/lab/relay.ts";

let namespace: Namespace;
let relay: Relay;
let before: [string, string][];

beforeEach(async () => {
	namespace = await Namespace.create("up");
	relay = new Relay(namespace);
	await relay.up("--workers", "1");
	await relay.sluice("rule", "add", "video", "--in", "lo:239.1.1.1:5001", "--out", "lo:239.10.1.1:6001");
	before = await activeRules();
	await relay.down();
});

afterEach(async () => {
	await relay.remove();
	await namespace.remove();
});

async function activeRules(): Promise<[string, string][]> {
	const rules = await until("the rule is ACTIVE", async () => {
		const all = await relay.rules();
		return all.length > 0 && all.every(({ hosts }) => hosts[0]?.state === "ACTIVE") ? all : undefined;
	});
	return rules.map(({ name, uid }) => [name, uid]);
}

/** Overwrites every file whose path in the data directory matches. */
function damage(pattern: RegExp): string[] {
	const all = readdirSync(relay.dataDir, { recursive: true, encoding: "utf8" });
	const damaged = all.filter((name) => pattern.test(name));
	for (const name of damaged) writeFileSync(`${relay.dataDir}/${name}`, "\0damaged\xff");
	return damaged;
}

describe("up with damaged files in its data directory", () => {
	test("those that it can make anew it does", async () => {
		const damaged = damage(
			/^(credentials\/[a-z-]+\.(json|nk)|http-token|nats\.conf|lock|supervisor\/desired)$/,
		);
		expect(damaged.length).toBeGreaterThanOrEqual(9);
		await relay.up("--workers", "1");
		expect(await activeRules()).toEqual(before);
	});

	test("the description of the bucket of rules: what it holds is found", async () => {
		expect(damage(/KV_sluice_rules\/meta\.inf$/)).toHaveLength(1);
		await relay.up("--workers", "1");
		expect(await activeRules()).toEqual(before);
	});

	test("the content of the bucket of rules: the host holds them, and restore brings them back", async () => {
		expect(damage(/KV_sluice_rules\/msgs\/.*\.(blk|db)$/)).not.toEqual([]);
		await relay.up("--workers", "1");
		const list = await until("it is said", async () => {
			const outcome = await relay.cli("rule", "list");
			return outcome.stderr === "" ? undefined : outcome;
		});
		expect(list.stderr).toMatch(
			/^sluice: warning: host relay-a: the bucket of rules .* lacks 1 of the 1 that this host holds/,
		);
		await relay.sluice("cluster", "restore");
		expect(await activeRules()).toEqual(before);
	});
});
