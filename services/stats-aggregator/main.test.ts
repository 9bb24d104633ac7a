import { afterEach, beforeEach, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { serviceError } from "@sluice/lib/client";
import { findDuplicateKey } from "@sluice/lib/duplicate-key";
import { handlesSignal } from "@sluice/lib/testing/signals";
import { until } from "@sluice/lib/testing/until";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { WorkerCountersSchema } from "@sluice/proto/gen/stats";
import { Worker_State } from "@sluice/proto/gen/worker";
import { buckets, countersSubject, discoverySubject, requests } from "@sluice/proto/subjects";
import { limits } from "./decode.ts";
import { ANSWER_LIMIT_MS, TestAggregators } from "./testing/aggregators.ts";
import { R1, T0, uid, workerCounters } from "./testing/counters.ts";
import { WARM_UP_MS } from "./warm-up.ts";

const SIGTERM = 15;

let aggregators: TestAggregators;

beforeEach(async () => {
	aggregators = await TestAggregators.open();
});

afterEach(() => aggregators.close());

test("says what the stream held before it started, and then what is published", async () => {
	aggregators.publish({
		sequence: 1n,
		rules: [{ uid: uid(1), received: 10n, outputs: [{ output: R1, sent: 10n }] }],
	});
	await aggregators.nc.flush();
	await aggregators.start();
	const [rule] = (await aggregators.getStats()).rules;
	expect([rule?.name, rule?.receivedPackets, rule?.outputs[0]?.sentPackets]).toEqual(["video", 10n, 10n]);
	aggregators.publish({ sequence: 2n, rules: [{ uid: uid(1), received: 20n }] });
	await until(async () => (await aggregators.received()) === 20n);
});

test("while it waits for NATS it ends on SIGTERM with 0", async () => {
	await aggregators.server.kill();
	const child = await aggregators.spawn();
	// It has read its configuration: signals are handled from then on.
	await until(() => handlesSignal(child.pid, SIGTERM));
	child.kill(SIGTERM);
	expect(await child.exited).toBe(0);
});

test("answers JSON with JSON, and an unknown name with 404", async () => {
	await aggregators.start();
	const answer = await aggregators.nc.request(requests.statsGet, '{"names":["video"]}', {
		timeout: ANSWER_LIMIT_MS,
	});
	expect(answer.json<{ rules: { receivedPackets: string }[] }>().rules[0]?.receivedPackets).toBe("0");
	const unknown = await aggregators.nc.request(requests.statsGet, '{"names":["nope"]}', {
		timeout: ANSWER_LIMIT_MS,
	});
	expect(serviceError(unknown)?.code).toBe("not_found");
});

test("malformed messages change nothing and end nothing", async () => {
	await aggregators.start();
	aggregators.publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
	const subject = countersSubject("relay-a", 0, 0);
	aggregators.nc.publish(subject, new Uint8Array([0xff, 0xff]));
	aggregators.nc.publish(
		subject,
		toBinary(WorkerCountersSchema, workerCounters({ host: "relay-b", sequence: 9n })),
	);
	aggregators.nc.publish(subject);
	aggregators.publish({ sequence: 2n, rules: [{ uid: uid(1), received: 11n }] });
	await until(async () => (await aggregators.received()) === 11n);
});

test("counters beyond what a host may say are left out, many in one line that says why", async () => {
	const log = await aggregators.start();
	const counted = { rules: [{ uid: uid(1), received: 10n }] };
	for (let worker = limits.workersPerHost; worker < limits.workersPerHost + 100; worker++)
		aggregators.publish({ ...counted, worker });
	for (let sequence = 1n; sequence <= 100n; sequence++)
		aggregators.publish({ ...counted, sequence, chunks: limits.chunks + 1 });
	aggregators.publish({ sequence: 101n, rules: [{ uid: uid(1), received: 11n }] });
	await until(async () => (await aggregators.received()) === 11n);
	// Its log comes another way than its answers.
	await until(() => log().includes('"msg":"counters refused"'));
	const lines = log().match(/[^\n]*"msg":"counters refused"[^\n]*/g);
	expect(lines).toEqual([
		expect.stringContaining(`"reason":"worker 1024 is beyond the limit of 1024","count":1,`),
	]);
});

test("no line of its log has a key twice, also when it speaks of another host", async () => {
	const log = await aggregators.start("debug");
	aggregators.publish({ host: "relay-b", sequence: 99n });
	await until(() => {
		aggregators.publish({ host: "relay-b", sequence: 1n });
		return log().includes(`counters began anew"}\n`);
	});
	const lines = log().split("\n").slice(0, -1);
	expect(lines.filter((line) => line.includes('"relay":"relay-b"')).length).toBeGreaterThan(2);
	expect(lines.map(findDuplicateKey).filter((key) => key !== undefined)).toEqual([]);
});

test("rules that come, change and go are followed", async () => {
	await aggregators.start();
	await aggregators.putRule("audio", 2);
	await until(
		async () => (await aggregators.getStats()).rules.map(({ name }) => name).join() === "audio,video",
	);
	aggregators.publish({ sequence: 1n, rules: [{ uid: uid(2), received: 5n }] });
	await until(async () => (await aggregators.getStats(["audio"])).rules[0]?.receivedPackets === 5n);
	// Removed and created again under its old name: another uid, so it starts at zero.
	await aggregators.putRule("audio", 3);
	await until(async () => (await aggregators.getStats(["audio"])).rules[0]?.receivedPackets === 0n);
});

test("a restarted nats-server, whose stream in memory is gone, costs no figure", async () => {
	await aggregators.start();
	aggregators.publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
	await until(async () => (await aggregators.received()) === 10n);
	await aggregators.server.kill();
	await aggregators.server.start();
	await until(async () => (await aggregators.received(500).catch(() => undefined)) === 10n);
	// Live counters are heard before anybody has made the stream again, and after.
	aggregators.publish({ sequence: 2n, rules: [{ uid: uid(1), received: 20n }] });
	await until(async () => (await aggregators.received()) === 20n);
	await aggregators.addCountersStream();
	aggregators.publish({ sequence: 3n, rules: [{ uid: uid(1), received: 30n }] });
	await until(async () => (await aggregators.received()) === 30n);
});

test("until every running worker was heard it keeps a question waiting, so that figures never step back", async () => {
	const workers = [0, 1].map((worker) => ({ host: "relay-a", worker, state: Worker_State.RUNNING }));
	const record = { host: "relay-a", incarnation: 100n, atUnixMs: BigInt(Date.now()), workers };
	await aggregators.put(
		buckets.hosts,
		"relay-a",
		toBinary(HostRecordSchema, create(HostRecordSchema, record)),
	);
	aggregators.publish({ worker: 0, rules: [{ uid: uid(1), received: 10n }] });
	await aggregators.nc.flush();
	await aggregators.start();
	let answer: bigint | undefined;
	const asked = aggregators.received().then((packets) => {
		answer = packets;
	});
	// Its discovery endpoint answers meanwhile: the question has long arrived.
	await aggregators.nc.request(discoverySubject("PING", "sluice-stats-aggregator"), "", {
		timeout: ANSWER_LIMIT_MS,
	});
	expect(answer).toBeUndefined();
	aggregators.publish({ worker: 1, rules: [{ uid: uid(1), received: 5n }] });
	await asked;
	expect(answer).toBe(15n);
});

test("a worker that stays silent holds up the first answer only", async () => {
	const workers = [{ host: "relay-a", worker: 0, state: Worker_State.RUNNING }];
	const record = { host: "relay-a", incarnation: 100n, atUnixMs: BigInt(Date.now()), workers };
	await aggregators.put(
		buckets.hosts,
		"relay-a",
		toBinary(HostRecordSchema, create(HostRecordSchema, record)),
	);
	// From before its start: whoever asks late waits less.
	const startMs = performance.now();
	await aggregators.start();
	expect(await aggregators.received()).toBe(0n);
	expect(performance.now() - startMs).toBeGreaterThan(WARM_UP_MS);
	const againMs = performance.now();
	expect(await aggregators.received()).toBe(0n);
	expect(performance.now() - againMs).toBeLessThan(WARM_UP_MS);
});

test("of two side by side each answers the same from a publication on, and one that is killed costs no answer and no figure", async () => {
	await aggregators.start();
	await aggregators.start();
	const totals = async () => {
		const answers = await Promise.all(Array.from({ length: 20 }, () => aggregators.getStats()));
		return [
			...new Set(answers.map(({ rules }) => `${rules[0]?.receivedPackets}/${rules[0]?.packetsPerSecond}`)),
		];
	};
	const reading = (sequence: bigint, worker: number, received: bigint) =>
		aggregators.publish({
			sequence,
			worker,
			atMs: T0 + Number(sequence) * 1000,
			rules: [{ uid: uid(1), received }],
		});
	for (const worker of [0, 1]) for (const sequence of [1n, 2n]) reading(sequence, worker, sequence * 100n);
	// What is published on one connection comes before what is asked on it.
	expect(await totals()).toEqual(["400/200"]);
	await aggregators.kill();
	expect(await totals()).toEqual(["400/200"]);
	reading(3n, 0, 350n);
	expect(await totals()).toEqual(["550/250"]);
	// The one that comes back has one sample of each worker: it knows all figures, and no rate yet.
	await aggregators.start();
	expect((await totals()).toSorted()).toEqual(["550/250", "550/undefined"]);
	for (const worker of [0, 1]) reading(4n, worker, 400n);
	expect(await totals()).toEqual(["800/150"]);
});
