import { afterEach, beforeEach, expect, test } from "bun:test";
import { fromBinary } from "@bufbuild/protobuf";
import { headers } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { until } from "@sluice/lib/testing/until";
import { KeepLastRequestSchema, KeepLastResponseSchema, KeptFiguresSchema } from "@sluice/proto/gen/stats";
import { buckets, countersStream, keepLastSubject, keptFiguresKey, kvSubject } from "@sluice/proto/subjects";
import { ANSWER_LIMIT_MS, TestAggregators } from "./testing/aggregators.ts";
import { R1, R2, uid } from "./testing/counters.ts";

let aggregators: TestAggregators;

beforeEach(async () => {
	aggregators = await TestAggregators.open();
});

afterEach(() => aggregators.close());

test("a host that died keeps its figures, marked with their age, over a restart of the aggregator too", async () => {
	await aggregators.start();
	for (const host of ["relay-a", "relay-b"])
		aggregators.publish({ host, sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
	const heardMs = performance.now();
	const stale = async () => {
		aggregators.publish({
			host: "relay-a",
			sequence: 2n + BigInt(Date.now()),
			rules: [{ uid: uid(1), received: 10n }],
		});
		const hosts = (await aggregators.getStats()).rules[0]?.hosts ?? [];
		return hosts.flatMap((host) => (host.stale ? [[host.host, host.receivedPackets]] : []));
	};
	expect(await stale()).toEqual([]);
	await until(async () => (await stale()).length > 0);
	expect(performance.now() - heardMs).toBeGreaterThan(3_000);
	await aggregators.kill();
	await aggregators.start();
	expect(await stale()).toEqual([["relay-b", 10n]]);
	const [rule] = (await aggregators.getStats()).rules;
	expect(rule?.receivedPackets).toBe(20n);
	expect(rule?.hosts[1]?.ageSeconds).toBeGreaterThan(3);
});

test("an up that the host has not begun is forgotten when the host speaks, and never kept", async () => {
	await aggregators.start();
	aggregators.publish({ host: "relay-b", incarnation: 2n ** 40n, rules: [{ uid: uid(1), received: 10n }] });
	await until(async () => (await aggregators.received()) === 10n);
	await aggregators.begin("relay-b", 100n);
	await until(async () => (await aggregators.received()) === 0n);
	aggregators.publish({ host: "relay-b", incarnation: 2n ** 40n, rules: [{ uid: uid(1), received: 10n }] });
	aggregators.publish({ host: "relay-b", incarnation: 100n, rules: [{ uid: uid(1), received: 3n }] });
	await until(async () => (await aggregators.received()) === 3n);
	// Another one, that has never spoken itself, is kept nowhere when all is stopped.
	aggregators.publish({ host: "relay-c", incarnation: 7n, rules: [{ uid: uid(1), received: 5n }] });
	await until(async () => (await aggregators.received()) === 8n);
	await aggregators.stop();
	const { state } = await aggregators.jsm.streams.info(`KV_${buckets.figures}`, { subjects_filter: ">" });
	expect(Object.keys(state.subjects ?? {}).map((subject) => subject.split(".")[2])).toEqual(["relay-b"]);
});

test("what a host counted stays when it is forgotten as soon as it was stopped, and the aggregator dies then", async () => {
	await aggregators.start();
	await aggregators.begin("relay-b", 100n);
	aggregators.publish({ host: "relay-b", incarnation: 100n, rules: [{ uid: uid(1), received: 10n }] });
	await until(async () => (await aggregators.received()) === 10n);
	// As control-api does, which then removes the record.
	await call(
		aggregators.nc,
		keepLastSubject("relay-b"),
		KeepLastRequestSchema,
		KeepLastResponseSchema,
		{},
		ANSWER_LIMIT_MS,
	);
	await aggregators.kill();
	const removal = headers();
	removal.set("KV-Operation", "DEL");
	const options = { headers: removal, timeout: ANSWER_LIMIT_MS };
	await aggregators.nc.request(kvSubject(buckets.hosts, "relay-b"), "", options);
	await aggregators.jsm.streams.purge(countersStream);
	await aggregators.start();
	expect(await aggregators.received()).toBe(10n);
});

test("what a host counted stays when it begins anew and when it is gone, though all that knew it ended", async () => {
	await aggregators.start();
	await aggregators.start();
	const totals = async () => {
		const answers = await Promise.all(Array.from({ length: 20 }, () => aggregators.received()));
		return [...new Set(answers)];
	};
	const reading = { host: "relay-b", rules: [{ uid: uid(1), received: 10n }] };
	await aggregators.begin("relay-b", 200n);
	aggregators.publish({ ...reading, incarnation: 100n });
	await until(async () => (await totals()).join() === "10");
	// The rule has no such output.
	const outputs = [R1, R2].map((output) => ({ output, sent: 10n }));
	const rules = [{ uid: uid(1), received: 10n, outputs }];
	aggregators.publish({ ...reading, incarnation: 200n, rules });
	aggregators.publish({ ...reading, incarnation: 200n, worker: 1 });
	await until(async () => (await totals()).join() === "30");
	const kept = async () => {
		const subject = kvSubject(buckets.figures, keptFiguresKey("relay-b", 0));
		const stored = await aggregators.jsm.streams.getMessage(`KV_${buckets.figures}`, {
			last_by_subj: subject,
		});
		return stored === null ? undefined : fromBinary(KeptFiguresSchema, stored.data);
	};
	await until(async () => (await kept())?.last !== undefined);
	expect((await kept())?.previous?.ruleReceivedPackets).toEqual([10n]);
	expect((await kept())?.last?.ruleReceivedPackets).toEqual([20n]);
	expect((await kept())?.last?.outputKeys).toEqual([R1.key]);
	await aggregators.kill();
	await aggregators.kill();
	await aggregators.server.kill();
	await aggregators.server.start();
	await aggregators.start();
	await until(async () => (await aggregators.received(500).catch(() => undefined)) !== undefined);
	const [rule] = (await aggregators.getStats()).rules;
	expect(rule?.receivedPackets).toBe(30n);
	expect(rule?.hosts).toMatchObject([{ host: "relay-b", receivedPackets: 20n, stale: true }]);
	expect(rule?.hosts[0]?.ageSeconds).toBeGreaterThan(5);
});

test("what was heard until it was stopped is kept: a host may begin anew meanwhile, and nats-server lose the counters", async () => {
	await aggregators.start();
	await aggregators.begin("relay-b", 6n);
	const say = (incarnation: bigint, count: bigint) => {
		aggregators.publish({
			host: "relay-b",
			incarnation,
			sequence: 1n,
			rules: [{ uid: uid(1), received: count }],
		});
	};
	say(5n, 100n);
	await until(async () => (await aggregators.received()) === 100n);
	await aggregators.stop();
	await aggregators.jsm.streams.purge(countersStream);
	say(6n, 10n);
	await aggregators.nc.flush();
	await aggregators.start();
	await until(async () => (await aggregators.received()) === 110n);
});

test("figures that it cannot keep when it is stopped are counted in one line", async () => {
	const log = await aggregators.start();
	await aggregators.begin("relay-b", 100n);
	aggregators.publish({ host: "relay-b", rules: [{ uid: uid(1), received: 10n }] });
	await until(async () => (await aggregators.received()) === 10n);
	const { config } = await aggregators.jsm.streams.info(`KV_${buckets.figures}`);
	await aggregators.jsm.streams.update(config.name, { ...config, max_msg_size: 10 });
	await aggregators.stop();
	await until(() => log().includes("figures were not kept in time"));
	expect(log()).toContain('"figures":1,');
});
