import { afterAll, beforeAll, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { type JetStreamClient, jetstream } from "@nats-io/jetstream";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import { RuleStore, writes } from "../testing/rule-store.ts";
import { ConnectionWatch } from "./connection-watch.ts";
import { RuleLog } from "./rule-log.ts";
import { rulesSequence } from "./storage.ts";

let store: RuleStore;
beforeAll(async () => {
	store = await RuleStore.start();
});
afterAll(async () => {
	await store.stop();
});

const ruleLog = (js: Pick<JetStreamClient, "publish">) =>
	new RuleLog(js, new ConnectionWatch(store.nc), () => rulesSequence(store.nc));

test("writes are appended in order with consecutive revisions", async () => {
	const base = (await store.state()).last;
	const outcome = await ruleLog(jetstream(store.nc)).append(writes(1_000, "plain"), base);
	expect(outcome.failure).toBeUndefined();
	expect(outcome.written.map((written) => written.revision - base)).toEqual(
		Array.from({ length: 1_000 }, (_, k) => BigInt(k + 1)),
	);
});

test("a stale sequence writes nothing at all", async () => {
	const base = (await store.state()).last;
	const outcome = await ruleLog(jetstream(store.nc)).append(writes(100, "stale"), base - 1n);
	expect([outcome.failure, outcome.written.length]).toEqual(["interfered", 0]);
	expect((await store.state()).last).toBe(base);
});

test("somebody else's write in the middle stops everything after it", async () => {
	const js = jetstream(store.nc);
	const other = jetstream(await store.server.connect());
	const base = (await store.state()).last;
	// Everything from our 40th on waits until our first 39, and then the other's message, are
	// stored: two connections alone keep no order. By its sequence our 41st would then be right again.
	const sent: Promise<unknown>[] = [];
	let foreign: Promise<unknown> | undefined;
	const interfere = async () => {
		await Promise.all(sent);
		const value = toBinary(StoredRuleSchema, create(StoredRuleSchema, { uid: "other" }));
		await other.publish(kvSubject(buckets.rules, "foreign"), value);
	};
	const overtaken: Pick<typeof js, "publish"> = {
		publish: async (subject, payload, options) => {
			if (sent.length === 39) {
				foreign ??= interfere();
				await foreign;
				return await js.publish(subject, payload, options);
			}
			const ack = js.publish(subject, payload, options);
			sent.push(ack);
			return await ack;
		},
	};
	const outcome = await ruleLog(overtaken).append(writes(200, "middle"), base);
	expect(outcome.failure).toBe("interfered");
	expect(outcome.written.map((written) => written.revision - base)).toEqual(
		Array.from({ length: 39 }, (_, k) => BigInt(k + 1)),
	);
	expect((await store.state()).last).toBe(base + 40n);
});
