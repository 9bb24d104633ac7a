import { afterAll, beforeAll, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { type JetStreamClient, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import type { Write } from "../rules/plan.ts";
import { manyRules } from "../testing/cluster.ts";
import { ConnectionWatch } from "./connection-watch.ts";
import { RuleLog } from "./rule-log.ts";
import { openStorage, rulesSequence } from "./storage.ts";

let server: TestNatsServer;
let nc: NatsConnection;
beforeAll(async () => {
	server = await startNatsServer();
	nc = await server.connect();
	await openStorage(nc, undefined);
});
afterAll(async () => {
	await server.stop();
});

const ruleLog = (js: Pick<JetStreamClient, "publish">) =>
	new RuleLog(js, new ConnectionWatch(nc), () => rulesSequence(nc));

const writes = (count: number, prefix: string): Write[] =>
	manyRules(count, prefix).map((rule) => ({
		name: rule.name ?? "",
		stored: create(StoredRuleSchema, { rule, uid: "u" }),
		previous: undefined,
	}));

async function lastSequence(): Promise<bigint> {
	const jsm = await jetstreamManager(nc);
	return BigInt((await jsm.streams.info("KV_sluice_rules")).state.last_seq);
}

test("writes are appended in order with consecutive revisions", async () => {
	const base = await lastSequence();
	const outcome = await ruleLog(jetstream(nc)).append(writes(1_000, "plain"), base);
	expect(outcome.failure).toBeUndefined();
	expect(outcome.written.map((written) => written.revision - base)).toEqual(
		Array.from({ length: 1_000 }, (_, k) => BigInt(k + 1)),
	);
});

test("a stale sequence writes nothing at all", async () => {
	const base = await lastSequence();
	const outcome = await ruleLog(jetstream(nc)).append(writes(100, "stale"), base - 1n);
	expect([outcome.failure, outcome.written.length]).toEqual(["interfered", 0]);
	expect(await lastSequence()).toBe(base);
});

test("somebody else's write in the middle stops everything after it", async () => {
	const js = jetstream(nc);
	const other = jetstream(await server.connect());
	const base = await lastSequence();
	// Everything from our 40th on waits until our first 39, and then the other's message, are
	// stored: two connections alone keep no order. By its sequence our 41st would then be right again.
	const sent: Promise<unknown>[] = [];
	let foreign: Promise<unknown> | undefined;
	const interfere = async () => {
		await Promise.all(sent);
		const value = toBinary(StoredRuleSchema, create(StoredRuleSchema, { uid: "other" }));
		await other.publish("$KV.sluice_rules.foreign", value);
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
	expect(await lastSequence()).toBe(base + 40n);
});
