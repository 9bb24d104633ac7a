import { afterEach, beforeEach, expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { requests } from "@sluice/proto/subjects";
import { exampleRule, manyRules, TestCluster } from "../testing/cluster.ts";

interface Heard {
	readonly subject: string;
	readonly event: Record<string, unknown>;
}

let cluster: TestCluster;
let heard: Heard[];
beforeEach(async () => {
	cluster = await TestCluster.start();
	await cluster.startApi();
	heard = [];
	cluster.nc.subscribe("sluice.v1.event.>", {
		callback: (_, message) => {
			heard.push({ subject: message.subject, event: message.json<Record<string, unknown>>() });
		},
	});
	await cluster.nc.flush();
});
afterEach(async () => {
	await cluster.stop();
});

/** Longer than what is told takes to come. */
async function aWhile(): Promise<void> {
	const since = Date.now();
	await until(() => Date.now() - since > 600);
}

test("whoever watches hears of a rule that is added, changed and removed, with the revisions of the answers", async () => {
	const { rule } = await cluster.put(exampleRule("video"));
	await cluster.put(exampleRule("video"));
	await cluster.put(exampleRule("video", "239.1.1.2"));
	await cluster.remove("video");
	await until(() => heard.length >= 3);
	expect(heard.map(({ subject }) => subject)).toEqual([
		"sluice.v1.event.rule.video.added",
		"sluice.v1.event.rule.video.changed",
		"sluice.v1.event.rule.video.removed",
	]);
	for (const [k, change] of ["ADDED", "CHANGED", "REMOVED"].entries())
		expect(heard[k]?.event).toMatchObject({ name: "video", uid: rule?.uid, revision: `${k + 1}`, change });
});

test("every rule of an apply is told once, though several control-apis serve", async () => {
	await cluster.startApi();
	await cluster.apply({ rules: manyRules(1_000) });
	await cluster.remove("rule-00500");
	await until(() => heard.some(({ subject }) => subject.endsWith(".removed")) && heard.length >= 1_001);
	expect(new Set(heard.map(({ subject }) => subject)).size).toBe(1_001);
	expect(heard).toHaveLength(1_001);
});

test("what is refused is no event", async () => {
	await cluster.put(exampleRule("video"));
	await expect(cluster.put(exampleRule("other"))).rejects.toThrow("video");
	await cluster.remove("video");
	await until(() => heard.length >= 2);
	expect(heard.map(({ event }) => event["name"])).toEqual(["video", "video"]);
});

test("a host appears, is gone after three seconds of silence, appears again, and is gone at once when it is stopped", async () => {
	const record = { host: "relay-b", incarnation: 7n };
	await cluster.writeHost(record);
	await until(() => heard.length === 1);
	expect(heard[0]).toMatchObject({
		subject: "sluice.v1.event.host.relay-b.appeared",
		event: { host: "relay-b", gone: false, incarnation: "7" },
	});
	await until(() => heard.length === 2);
	expect(heard[1]).toMatchObject({
		subject: "sluice.v1.event.host.relay-b.gone",
		event: { host: "relay-b", gone: true, incarnation: "7" },
	});
	expect(Number(heard[1]?.event["lastSeenSeconds"])).toBeGreaterThan(3);
	await cluster.writeHost(record);
	await until(() => heard.length === 3);
	expect(heard[2]?.subject).toBe("sluice.v1.event.host.relay-b.appeared");
	await cluster.writeHost({ ...record, stopped: true });
	await until(() => heard.length === 4);
	expect(heard[3]).toMatchObject({
		subject: "sluice.v1.event.host.relay-b.gone",
		event: { gone: true, stopped: true },
	});
	expect(Number(heard[3]?.event["lastSeenSeconds"])).toBeLessThan(3);
}, 60_000);

test("a host that is forgotten is told once, and appears when it comes back", async () => {
	const record = { host: "relay-b", incarnation: 7n, stopped: true };
	await cluster.writeHost(record);
	const writtenMs = performance.now();
	await until(() => performance.now() - writtenMs > 300);
	const forget = () => cluster.nc.request(requests.hostForget, '{"host":"relay-b"}', { timeout: 20_000 });
	await until(async () => (await forget()).json<{ known: boolean }>().known);
	// It stands in no list: nothing more is told of it.
	await forget();
	await cluster.writeHost({ ...record, stopped: false });
	await until(() => heard.length >= 2);
	expect(heard.map(({ subject }) => subject)).toEqual([
		"sluice.v1.event.host.relay-b.forgotten",
		"sluice.v1.event.host.relay-b.appeared",
	]);
	expect(heard[0]?.event).toMatchObject({ gone: true, stopped: true, forgotten: true, incarnation: "7" });
	expect(Number(heard[0]?.event["lastSeenSeconds"])).toBeWithin(0.3, 10);
});

test("a host that keeps writing while NATS is away for longer is not told to be gone", async () => {
	await cluster.writeHost({ host: "relay-b" });
	await until(() => heard.length === 1);
	await cluster.server.kill();
	const awaySince = Date.now();
	await until(() => Date.now() - awaySince > 3_500);
	await cluster.server.start();
	// A refusal has no payload.
	const listed = async () =>
		(await cluster.nc.request(requests.ruleList, "{}", { timeout: 200 }).catch(() => undefined))?.string();
	await until(async () => (await listed())?.startsWith("{") ?? false);
	// Before it is heard again, and after.
	await aWhile();
	await cluster.writeHost({ host: "relay-b" });
	await aWhile();
	await cluster.put(exampleRule("video"));
	await until(() => heard.some(({ subject }) => subject.endsWith(".added")));
	// Neither gone, nor, since that was said to nobody, there again.
	expect(heard.filter(({ subject }) => subject.startsWith("sluice.v1.event.host."))).toHaveLength(1);
}, 60_000);
