// Servers before 2.12 have no batches; with them every test here is skipped.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { MORE_HEADER } from "@sluice/lib/headers";
import { findNatsServer } from "@sluice/lib/testing/nats-server";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import type { Write } from "../rules/plan.ts";
import { RuleStore, writes } from "../testing/rule-store.ts";
import { ConnectionWatch } from "./connection-watch.ts";
import { RuleBatches } from "./rule-batches.ts";
import { RuleLog } from "./rule-log.ts";
import { isAtLeast, knowsBatches, openStorage, rulesSequence } from "./storage.ts";

const version = /v(\d\S*)/.exec(Bun.spawnSync([findNatsServer(), "--version"]).stdout.toString())?.[1] ?? "";
const withBatches = test.skipIf(!isAtLeast(version, "2.12.0"));

let store: RuleStore;
let nc: NatsConnection;
beforeAll(async () => {
	store = await RuleStore.start();
	({ nc } = store);
});
afterAll(async () => {
	await store.stop();
});

const removals = (some: readonly Write[]): Write[] =>
	some.map(({ name }) => ({ name, stored: undefined, previous: undefined }));

/** Whoever publishes one by one fails the test: with batches nothing does. */
const noSingles = { publish: () => Promise.reject(new Error("published alone")) };

function ruleLog(over: Pick<NatsConnection, "publish" | "request"> = nc): RuleLog {
	const batches = new RuleBatches(over, () => true);
	return new RuleLog(noSingles, new ConnectionWatch(nc), () => rulesSequence(nc), batches);
}

test("batches are taken to be possible where the server has them, and nowhere else", async () => {
	expect((await openStorage(nc, undefined)).batches).toBe(isAtLeast(version, "2.12.0"));
	expect(knowsBatches({ info: { version: "2.10.27" } } as NatsConnection)).toBe(false);
	expect(knowsBatches({ info: { version: "2.12.0" } } as NatsConnection)).toBe(true);
});

withBatches("a bucket that was made without them gets them", async () => {
	const jsm = await jetstreamManager(nc);
	await jsm.streams.delete("KV_sluice_rules");
	await jsm.streams.add({ name: "KV_sluice_rules", subjects: [kvSubject(buckets.rules, ">")] });
	expect((await openStorage(nc, undefined)).batches).toBe(true);
	await jsm.streams.delete("KV_sluice_rules");
	await openStorage(nc, undefined);
});

withBatches("many writes are stored in order with consecutive revisions, and removed again", async () => {
	const base = (await store.state()).last;
	const many = writes(1_300, "plain");
	const outcome = await ruleLog().append(many, base);
	expect(outcome.failure).toBeUndefined();
	expect(outcome.written.map(({ revision }) => revision - base)).toEqual(
		Array.from({ length: 1_300 }, (_, k) => BigInt(k + 1)),
	);
	expect((await store.state()).last).toBe(base + 1_300n);
	const stored = await jetstream(nc).streams.get("KV_sluice_rules");
	expect((await stored.getMessage({ last_by_subj: kvSubject(buckets.rules, "plain-01299") }))?.seq).toBe(
		Number(base) + 1_300,
	);
	const announces = async (k: number) =>
		(await stored.getMessage({ seq: Number(base) + k }))?.header.has(MORE_HEADER);
	expect([await announces(512), await announces(1_299), await announces(1_300)]).toEqual([true, true, false]);
	await ruleLog().append(removals(many), base + 1_300n);
	const gone = await stored.getMessage({ last_by_subj: kvSubject(buckets.rules, "plain-00000") });
	expect(gone?.header.get("KV-Operation")).toBe("DEL");
});

withBatches("a stale sequence writes nothing at all", async () => {
	const before = await store.state();
	const outcome = await ruleLog().append(writes(100, "stale"), before.last - 1n);
	expect([outcome.failure, outcome.written.length]).toEqual(["interfered", 0]);
	expect(await store.state()).toEqual(before);
});

withBatches("somebody else's write before the commit stops the batch and everything after it", async () => {
	const base = (await store.state()).last;
	let commits = 0;
	const interfered: Pick<NatsConnection, "publish" | "request"> = {
		publish: (...sent) => nc.publish(...sent),
		request: async (...sent) => {
			commits += 1;
			if (commits === 2) await jetstream(nc).publish(kvSubject(buckets.rules, "foreign"), "x");
			return await nc.request(...sent);
		},
	};
	const outcome = await ruleLog(interfered).append(writes(1_300, "middle"), base);
	expect([outcome.failure, outcome.written.length, outcome.uncertain.length]).toEqual(["interfered", 512, 0]);
	expect((await store.state()).last).toBe(base + 513n);
});

withBatches("after a pause nothing more is sent", async () => {
	const base = (await store.state()).last;
	const outcome = await ruleLog().append(writes(1_300, "pause"), base, () => true);
	expect([outcome.failure, outcome.written.length]).toEqual([undefined, 512]);
});

withBatches("a batch whose answer is lost is uncertain as a whole", async () => {
	const base = (await store.state()).last;
	const lossy: Pick<NatsConnection, "publish" | "request"> = {
		publish: (...sent) => nc.publish(...sent),
		request: async (...sent) => {
			await nc.request(...sent);
			throw new Error("lost");
		},
	};
	const outcome = await ruleLog(lossy).append(writes(600, "lost"), base);
	expect([outcome.failure, outcome.written.length, outcome.uncertain.length]).toEqual(["unanswered", 0, 512]);
});

withBatches("a batch that gets no answer, nor is stored, is known before its time is up", async () => {
	const { last } = await store.state();
	const silent = { publish: () => {}, request: () => new Promise<never>(() => {}) };
	const outcome = await ruleLog(silent).append(writes(2, "silent"), last);
	expect([outcome.failure, outcome.written.length, outcome.uncertain.length]).toEqual(["stalled", 0, 2]);
});
