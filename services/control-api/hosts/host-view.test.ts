import { afterEach, beforeEach, expect, test } from "bun:test";
import { call } from "@sluice/lib/client";
import { until } from "@sluice/lib/testing/until";
import {
	ForgetHostRequestSchema,
	ForgetHostResponseSchema,
	type Host,
	ListHostsRequestSchema,
	ListHostsResponseSchema,
} from "@sluice/proto/gen/host";
import { type RuleStatus_HostState, RuleStatus_State as State } from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";
import { exampleRule, TestCluster } from "../testing/cluster.ts";

let cluster: TestCluster;
beforeEach(async () => {
	cluster = await TestCluster.start();
	await cluster.startApi();
});
afterEach(() => cluster.stop());

const record = { host: "relay-a", interfaces: [{ name: "r0" }], appliedSequence: 1n };
const UNHEARD = "host not heard yet, since NATS was away";

/** What the one rule does on hosts, and the hosts, once that is known. */
async function seen(): Promise<{ states: RuleStatus_HostState[]; hosts: Host[] }> {
	for (;;) {
		try {
			const [{ rules }, { hosts }] = await Promise.all([
				cluster.list(),
				call(cluster.nc, requests.hostList, ListHostsRequestSchema, ListHostsResponseSchema, {}, 1_000),
			]);
			return { states: rules.flatMap((rule) => rule.hosts), hosts };
		} catch {
			await Bun.sleep(5);
		}
	}
}

async function restartServer(): Promise<void> {
	await cluster.server.kill();
	await cluster.server.start();
}

test("a host that has not spoken since nats-server began anew is awaited, and as before once it speaks", async () => {
	await cluster.writeHost(record);
	await cluster.put(exampleRule("video"));
	await until(async () => (await seen()).states[0]?.state === State.ACTIVE);
	await restartServer();
	const { states, hosts } = await seen();
	expect(states).toMatchObject([{ host: "relay-a", state: State.PENDING, reason: UNHEARD }]);
	expect(hosts.map(({ host }) => host)).toEqual(["relay-a"]);
	expect(hosts[0]?.lastSeenSeconds).toBeLessThanOrEqual(3);
	const forget = call(
		cluster.nc,
		requests.hostForget,
		ForgetHostRequestSchema,
		ForgetHostResponseSchema,
		{ host: "relay-a" },
		20_000,
	);
	await expect(forget).rejects.toThrow("host relay-a may be there, since NATS was away: try again in 3 s");
	await cluster.writeHost(record);
	await until(async () => (await seen()).states[0]?.state === State.ACTIVE);
}, 60_000);

test("one that was gone before is not awaited", async () => {
	await cluster.writeHost(record);
	await cluster.put(exampleRule("video", "239.1.1.1", { hosts: ["relay-a"] }));
	const reason = async () => (await seen()).states[0]?.reason ?? "";
	await until(async () => (await reason()).startsWith("host not seen for"));
	await restartServer();
	const { states, hosts } = await seen();
	expect(states[0]?.reason).toBe("host is not known: start sluice there, or look at its log");
	expect(hosts).toEqual([]);
}, 60_000);

test("one that does not speak is gone when it counts as that", async () => {
	await cluster.writeHost(record);
	await cluster.put(exampleRule("video", "239.1.1.1", { hosts: ["relay-a"] }));
	await until(async () => (await seen()).states[0]?.state === State.ACTIVE);
	const awayMs = performance.now();
	await restartServer();
	await seen();
	const backMs = performance.now();
	const reasons = new Set<string>();
	let lastAwaitedMs = backMs;
	await until(async () => {
		const askedMs = performance.now();
		const { states, hosts } = await seen();
		reasons.add(states[0]?.reason ?? "");
		if (hosts.length > 0) lastAwaitedMs = askedMs;
		return hosts.length === 0;
	});
	// However late the answers come: not gone before three seconds, and gone to whoever asks a little after them.
	expect(performance.now() - awayMs).toBeGreaterThan(3_000);
	expect(lastAwaitedMs - backMs).toBeLessThan(4_000);
	expect([...reasons]).toEqual([UNHEARD, "host is not known: start sluice there, or look at its log"]);
}, 60_000);
