import { afterEach, beforeEach, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connectNats } from "@sluice/lib/connect";
import type { BucketSnapshot, SnapshotChange } from "@sluice/lib/kv-snapshot";
import { createLogger } from "@sluice/lib/log";
import { followRules } from "@sluice/lib/stored-rules";
import { startTcpRelay } from "@sluice/lib/testing/tcp-relay";
import { until } from "@sluice/lib/testing/until";
import type { StoredRule } from "@sluice/proto/gen/rule";
import { exampleRule, manyRules, refusal, TestCluster } from "../testing/cluster.ts";
import { storedNames } from "../testing/rule-writing.ts";
import { type SweepLimits, sweepUpTo } from "./sweeping.ts";

const LEAST = 100;
const AT_ONCE: SweepLimits = { keptMs: 0, least: LEAST, most: 1_000, everyMs: 0 };
const PERMANENT = manyRules(20, "permanent");
const names = PERMANENT.map(({ name }) => name ?? "");

let cluster: TestCluster;
const troubles: string[] = [];
const onTrouble = (message: string) => void troubles.push(message);
beforeEach(async () => {
	troubles.length = 0;
	cluster = await TestCluster.start();
	await cluster.startApi({ sweep: AT_ONCE });
	await cluster.apply({ rules: PERMANENT });
});
afterEach(async () => {
	await cluster.stop();
	expect(troubles).toEqual([]);
});

async function stream() {
	const jsm = await jetstreamManager(cluster.nc, { checkAPI: false, timeout: 5_000 });
	const { state, config } = await jsm.streams.info("KV_sluice_rules");
	return { ...state, swept: Number(config.metadata?.["sluice_swept"] ?? 0) };
}

/** Rules whose names never were and never will be. */
async function churn(rounds: number, size = 250): Promise<void> {
	for (let round = 0; round < rounds; round += 1) {
		const id = crypto.randomUUID();
		const own = Array.from({ length: size }, (_, k) => exampleRule(`video-${id}-${k}`, `239.2.0.${k}`));
		await cluster.apply({ rules: [...PERMANENT, ...own] });
		await cluster.apply({ rules: PERMANENT, prune: true });
	}
}

const isSwept = (upTo: number) =>
	until(async () => {
		const { swept, first_seq } = await stream();
		return swept >= upTo && first_seq > swept;
	});

test("thousands of rules of new names leave a bounded bucket and bounded memory; those that stay are as they were", async () => {
	await cluster.startApi({ sweep: AT_ONCE });
	const follower = await followRules(await cluster.server.connect(), { onTrouble });
	const changed: string[] = [];
	follower.onChange(({ key }) => void (names.includes(key) && changed.push(key)));
	const { rule } = await cluster.get("permanent-00000");
	await churn(10);
	await cluster.put(exampleRule("one-more", "239.3.1.1"));
	await cluster.remove("one-more");
	// Of 2,501 removals.
	await until(async () => (await stream()).messages < 2 * LEAST + names.length + 250);
	await follower.catchUp(20_000);
	expect(follower.removed.size).toBeLessThan(1_500);
	expect(follower.sequences.size).toBe(names.length);
	expect([...follower.entries.keys()].sort()).toEqual(names);
	expect(changed).toEqual([]);
	expect((await stream()).swept).toBeGreaterThan(4_000);
	const stays = await cluster.get("permanent-00000");
	expect([stays.rule?.uid, stays.rule?.revision]).toEqual([rule?.uid, 1n]);
	expect((await refusal(cluster.put(exampleRule("permanent-00000", "239.3.1.2"), 2n))).revision).toBe(1n);
	await cluster.put(exampleRule("permanent-00000", "239.3.1.2"), 1n);
	follower.stop();
}, 60_000);

test("who was away while what it knew was removed and swept learns that it is gone, and of nothing else", async () => {
	const relay = await startTcpRelay(cluster.server.port);
	const nc = await connectNats({ url: relay.url, name: "away" });
	try {
		await cluster.put(exampleRule("removed", "239.3.1.1"));
		const follower: BucketSnapshot<StoredRule> = await followRules(nc, { onTrouble });
		expect(follower.entries.has("removed")).toBe(true);
		const changes: SnapshotChange<StoredRule>[] = [];
		follower.onChange((change) => void changes.push(change));
		relay.cut();
		await until(() => !follower.current);
		const { revision } = await cluster.remove("removed");
		await churn(1);
		await isSwept(Number(revision));
		relay.mend();
		await until(() => follower.current);
		expect([...follower.entries.keys()].sort()).toEqual(names);
		expect(changes.map(({ key, entry, lost }) => [key, entry, lost ?? false])).toEqual([
			["removed", undefined, false],
		]);
		follower.stop();
	} finally {
		await nc.close();
		relay.stop();
	}
}, 60_000);

test("a nats-server that is killed, and has lost its index, brings nothing back, with or without a control-api", async () => {
	await churn(2);
	await isSwept(300);
	const before = await storedNames(cluster);
	await cluster.stopApis();
	await cluster.server.kill();
	// Then it goes by what stands in its files, what it had let go of among that.
	await rm(join(cluster.server.folder, "store/jetstream/$G/streams/KV_sluice_rules/msgs/index.db"));
	await cluster.server.start();
	await until(() =>
		stream().then(
			({ first_seq, swept }) => first_seq <= swept,
			() => false,
		),
	);
	expect(before).toEqual(names);
	expect(await storedNames(cluster)).toEqual(names);
	const { book } = await cluster.startApi();
	expect([...book.entries.keys()].sort()).toEqual(names);
	const { first_seq, swept } = await stream();
	expect(first_seq).toBeGreaterThan(swept);
	expect((await cluster.get("permanent-00003")).rule?.revision).toBe(4n);
}, 60_000);

test("a control-api that may not purge says so, goes on, and starts again", async () => {
	const deny = '{ deny: ["$JS.API.STREAM.PURGE.>"] }';
	const user = `{ user: any, password: any, permissions: { publish: ${deny} } }`;
	const denied = await TestCluster.start(`authorization { users: [${user}] }\nno_auth_user: any`);
	try {
		const lines: string[] = [];
		const destination = { write: (line: string) => void lines.push(line) };
		const logger = createLogger({ service: "control-api", level: "warn", destination });
		await denied.startApi({ logger, sweep: { ...AT_ONCE, least: 2 } });
		for (let k = 0; k < 4; k += 1) {
			await denied.put(exampleRule(`video-${k}`));
			await denied.remove(`video-${k}`);
		}
		await until(() => lines.some((line) => line.includes("what is left of removed rules stays for now")));
		await denied.put(exampleRule("more"));
		await denied.stopApis();
		const { book } = await denied.startApi();
		expect([...book.entries.keys()]).toEqual(["more"]);
	} finally {
		await denied.stop();
	}
}, 60_000);

test("a sweep goes as far as removals are old or too many, and neither over what cannot be read nor to the end", () => {
	const limits = { keptMs: 1_000, least: 2, most: 4, everyMs: 0 };
	const removed = (...at: number[]) =>
		new Map(at.map((writtenUnixMs, k) => [`r${k}`, { sequence: BigInt(10 + k), writtenUnixMs }]));
	const upTo = (
		rules: ReturnType<typeof removed>,
		{ sequences = new Map<string, bigint>(), lastSequence = 90n, swept = 0n } = {},
	) =>
		sweepUpTo(
			{ entries: new Map([["a", {}]]) as never, sequences, removed: rules, lastSequence },
			swept,
			5_000,
			limits,
		);
	expect(upTo(removed(1, 2, 4_500))).toBe(11n);
	expect(upTo(removed(1, 4_500, 4_500))).toBeUndefined();
	expect(upTo(removed(4_500, 4_500, 4_500, 4_500, 4_500, 4_500))).toBe(11n);
	expect(upTo(removed(1, 2, 3), { lastSequence: 12n })).toBe(11n);
	expect(upTo(removed(1, 2, 3), { swept: 11n })).toBeUndefined();
	expect(upTo(removed(1, 2, 3), { sequences: new Map([["left-out", 12n]]) })).toBe(11n);
	expect(upTo(removed(1, 2, 3), { sequences: new Map([["a", 2n]]) })).toBe(12n);
});
