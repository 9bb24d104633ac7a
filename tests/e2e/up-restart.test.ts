import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../netns/lab/commands.ts";
import { Namespace } from "../netns/lab/namespace.ts";
import { Relay } from "../netns/lab/relay.ts";
import { childrenOf } from "./up-processes.ts";

let namespace: Namespace;
let relay: Relay;

beforeAll(async () => {
	namespace = await Namespace.create("up");
	relay = new Relay(namespace);
	await relay.up();
	await relay.sluice("rule", "add", "video", "--in", "lo:239.1.1.1:5001", "--out", "lo:239.10.1.1:6001");
});

afterAll(async () => {
	await relay.remove();
	await namespace.remove();
});

/** Kills one child and waits for its successor. */
async function kill(name: string): Promise<void> {
	const before = await until(`${name} runs`, () => childrenOf(relay.pid).get(name));
	process.kill(before, "SIGKILL");
	await until(`${name} is started again`, () => {
		const now = childrenOf(relay.pid).get(name);
		return now !== undefined && now !== before ? now : undefined;
	});
}

/** The rule is ACTIVE and its figures are told: every service does its part again. */
async function untilAllServe(): Promise<void> {
	await until("rules and figures are answered", async () => {
		const [list, stats] = await Promise.all([
			relay.cli("rule", "list", "--json"),
			relay.cli("stats", "video", "--json"),
		]);
		return list.code === 0 && stats.code === 0 && list.stdout.includes('"ACTIVE"') ? true : undefined;
	});
}

describe("whatever of up's processes is killed comes back and serves", () => {
	for (const name of ["control-api", "stats-aggregator", "supervisor", "nats-server"]) {
		test(name, async () => {
			await kill(name);
			await untilAllServe();
			expect((await relay.rules()).map((rule) => rule.name)).toEqual(["video"]);
		});
	}

	test("all of them at once", async () => {
		for (const pid of childrenOf(relay.pid).values()) process.kill(pid, "SIGKILL");
		await untilAllServe();
		const workers = await until("both workers run", async () => {
			const all = await relay.workers();
			return all.length > 0 && all.every(({ state }) => state === "RUNNING") ? all : undefined;
		});
		expect(workers.every(({ pid }) => pid > 0)).toBeTrue();
	});

	test("what is accepted while one is away is not lost", async () => {
		await kill("supervisor");
		await relay.cli("rule", "add", "late", "--in", "lo:239.1.1.2:5001", "--out", "lo:239.10.1.2:6001");
		await until("the rule is ACTIVE", async () => {
			const late = (await relay.rules()).find((rule) => rule.name === "late");
			return late?.hosts[0]?.state === "ACTIVE" ? true : undefined;
		});
	});
});
