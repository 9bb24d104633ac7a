import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { create, fromBinary, fromJsonString, toBinary } from "@bufbuild/protobuf";
import { jetstreamManager, StorageType } from "@nats-io/jetstream";
import { type Msg, type NatsConnection, nkeys } from "@nats-io/transport-node";
import { call, serviceError } from "@sluice/lib/client";
import { findDuplicateKey } from "@sluice/lib/duplicate-key";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { StoredRuleSchema } from "@sluice/proto/gen/rule";
import {
	GetStatsRequestSchema,
	type GetStatsResponse,
	GetStatsResponseSchema,
	KeptFiguresSchema,
	type RuleStats,
	RuleStatsSchema,
	WorkerCountersSchema,
} from "@sluice/proto/gen/stats";
import { Worker_State } from "@sluice/proto/gen/worker";
import {
	buckets,
	countersStream,
	countersSubject,
	countersSubjects,
	discoverySubject,
	keptFiguresKey,
	kvSubject,
	requests,
} from "@sluice/proto/subjects";
import { R1, R2, type Reading, T0, uid, workerCounters } from "./testing/counters.ts";

let server: TestNatsServer;
let nc: NatsConnection;
const processes: Bun.Subprocess<"pipe", "ignore", "pipe">[] = [];

beforeEach(async () => {
	server = await startNatsServer();
	nc = await server.connect("control-api");
	const jsm = await jetstreamManager(nc);
	for (const bucket of Object.values(buckets)) {
		await jsm.streams.add({
			name: `KV_${bucket}`,
			subjects: [kvSubject(bucket, ">")],
			max_msgs_per_subject: 1,
			allow_direct: true,
		});
	}
	await addCountersStream();
	await put(buckets.rules, "video", toBinary(StoredRuleSchema, storedRule("video", 1)));
});

afterEach(async () => {
	for (const child of processes.splice(0)) {
		child.stdin.end();
		expect(await child.exited).toBe(0);
	}
	await server.stop();
});

async function addCountersStream(): Promise<void> {
	const jsm = await jetstreamManager(nc);
	await jsm.streams.add({
		name: countersStream,
		subjects: [countersSubjects],
		max_msgs_per_subject: 1,
		storage: StorageType.Memory,
	});
}

async function put(bucket: string, key: string, value: Uint8Array): Promise<void> {
	await nc.request(kvSubject(bucket, key), value);
}

/** Its supervisor's word that this is the host's run, with two workers. */
async function begin(host: string, incarnation: bigint): Promise<void> {
	const workers = [{ worker: 0 }, { worker: 1 }];
	await put(
		buckets.hosts,
		host,
		toBinary(HostRecordSchema, create(HostRecordSchema, { host, incarnation, workers })),
	);
}

function storedRule(name: string, number: number) {
	const outputs = [{ interface: R1.interface, address: R1.address, port: R1.port }];
	const input = { interface: "r0", group: "239.1.1.1", port: 5001 };
	return create(StoredRuleSchema, { uid: uid(number), rule: { name, input, outputs } });
}

function publish(reading: Reading): void {
	const message = workerCounters(reading);
	nc.publish(
		countersSubject(message.host, message.worker, message.chunk),
		toBinary(WorkerCountersSchema, message),
	);
}

/** Starts the real process, as `up` does, and waits until it serves. Answers what it has logged by then. */
async function startAggregator(logLevel = "info"): Promise<() => string> {
	const child = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts")], {
		stdio: ["pipe", "ignore", "pipe"],
	});
	processes.push(child);
	const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
	const config = {
		service: "stats-aggregator",
		hostId: "relay-a",
		incarnation: "100",
		natsUrl: server.url,
		credentials: { kind: "nkey", seed },
		logLevel,
	};
	child.stdin.write(`${JSON.stringify(config)}\n`);
	await child.stdin.flush();
	let log = "";
	const ready = Promise.withResolvers<void>();
	void (async () => {
		for await (const bytes of child.stderr) {
			log += new TextDecoder().decode(bytes);
			if (log.includes('"ready":true')) ready.resolve();
		}
		ready.reject(new Error(`it ended: ${log}`));
	})();
	await ready.promise;
	return () => log;
}

/** Kills the one that was started last, and waits until nats-server sends it no questions any more. */
async function killAggregator(): Promise<void> {
	const child = processes.pop();
	child?.kill("SIGKILL");
	await child?.exited;
	await until(async () => (await answering().catch(() => 0)) === processes.length);
}

/** How many there are. @throws when there is none. */
async function answering(): Promise<number> {
	const found: Msg[] = [];
	const options = { strategy: "timer", maxWait: 200 } as const;
	for await (const answer of await nc.requestMany(
		discoverySubject("PING", "sluice-stats-aggregator"),
		"",
		options,
	))
		found.push(answer);
	return found.length;
}

/** A request sent while the connection is away is lost, so those that are repeated give up soon. */
async function getStats(names: string[] = [], timeoutMs = 500): Promise<GetStatsResponse> {
	return call(nc, requests.statsGet, GetStatsRequestSchema, GetStatsResponseSchema, { names }, timeoutMs);
}

async function received(timeoutMs?: number): Promise<bigint | undefined> {
	return (await getStats([], timeoutMs)).rules[0]?.receivedPackets;
}

describe("the aggregator on a real nats-server", () => {
	test("says what the stream held before it started, and then what is published", async () => {
		publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n, outputs: [{ output: R1, sent: 10n }] }] });
		await nc.flush();
		await startAggregator();
		const [rule] = (await getStats()).rules;
		expect([rule?.name, rule?.receivedPackets, rule?.outputs[0]?.sentPackets]).toEqual(["video", 10n, 10n]);
		publish({ sequence: 2n, rules: [{ uid: uid(1), received: 20n }] });
		await until(async () => (await received()) === 20n);
	});

	test("answers JSON with JSON, and an unknown name with 404", async () => {
		await startAggregator();
		const answer = await nc.request(requests.statsGet, '{"names":["video"]}');
		expect(answer.json<{ rules: { receivedPackets: string }[] }>().rules[0]?.receivedPackets).toBe("0");
		const refused = serviceError(await nc.request(requests.statsGet, '{"names":["nope"]}'));
		expect(refused?.code).toBe("not_found");
	});

	test("malformed messages change nothing and end nothing", async () => {
		await startAggregator();
		publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
		const subject = countersSubject("relay-a", 0, 0);
		nc.publish(subject, new Uint8Array([0xff, 0xff]));
		nc.publish(subject, toBinary(WorkerCountersSchema, workerCounters({ host: "relay-b", sequence: 9n })));
		nc.publish(subject);
		publish({ sequence: 2n, rules: [{ uid: uid(1), received: 11n }] });
		await until(async () => (await received()) === 11n);
	});

	test("no line of its log has a key twice, also when it speaks of another host", async () => {
		const log = await startAggregator("debug");
		publish({ host: "relay-b", sequence: 99n });
		await until(() => {
			publish({ host: "relay-b", sequence: 1n });
			return log().includes(`counters began anew"}\n`);
		});
		const lines = log().split("\n").slice(0, -1);
		expect(lines.filter((line) => line.includes('"relay":"relay-b"')).length).toBeGreaterThan(2);
		expect(lines.map(findDuplicateKey).filter((key) => key !== undefined)).toEqual([]);
	});

	test("rules that come, change and go are followed", async () => {
		await startAggregator();
		await put(buckets.rules, "audio", toBinary(StoredRuleSchema, storedRule("audio", 2)));
		await until(async () => (await getStats()).rules.map(({ name }) => name).join() === "audio,video");
		publish({ sequence: 1n, rules: [{ uid: uid(2), received: 5n }] });
		await until(async () => (await getStats(["audio"])).rules[0]?.receivedPackets === 5n);
		// Removed and created again under its old name: another uid, so it starts at zero.
		await put(buckets.rules, "audio", toBinary(StoredRuleSchema, storedRule("audio", 3)));
		await until(async () => (await getStats(["audio"])).rules[0]?.receivedPackets === 0n);
	});

	test("a restarted nats-server, whose stream in memory is gone, costs no figure", async () => {
		await startAggregator();
		publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
		await until(async () => (await received()) === 10n);
		await server.kill();
		await server.start();
		await until(async () => (await received().catch(() => undefined)) === 10n);
		// Live counters are heard before anybody has made the stream again, and after.
		publish({ sequence: 2n, rules: [{ uid: uid(1), received: 20n }] });
		await until(async () => (await received()) === 20n);
		await addCountersStream();
		publish({ sequence: 3n, rules: [{ uid: uid(1), received: 30n }] });
		await until(async () => (await received()) === 30n);
	});

	test("until every running worker was heard it keeps a question waiting, so that figures never step back", async () => {
		const workers = [0, 1].map((worker) => ({ host: "relay-a", worker, state: Worker_State.RUNNING }));
		const record = { host: "relay-a", incarnation: 100n, atUnixMs: BigInt(Date.now()), workers };
		await put(buckets.hosts, "relay-a", toBinary(HostRecordSchema, create(HostRecordSchema, record)));
		publish({ worker: 0, rules: [{ uid: uid(1), received: 10n }] });
		await nc.flush();
		await startAggregator();
		let answer: bigint | undefined;
		const asked = received(4000).then((packets) => {
			answer = packets;
		});
		// Its discovery endpoint answers meanwhile: the question has long arrived.
		await nc.request(discoverySubject("PING", "sluice-stats-aggregator"));
		expect(answer).toBeUndefined();
		publish({ worker: 1, rules: [{ uid: uid(1), received: 5n }] });
		await asked;
		expect(answer).toBe(15n);
	});

	test("a worker that stays silent holds up the first answer only", async () => {
		const workers = [{ host: "relay-a", worker: 0, state: Worker_State.RUNNING }];
		const record = { host: "relay-a", incarnation: 100n, atUnixMs: BigInt(Date.now()), workers };
		await put(buckets.hosts, "relay-a", toBinary(HostRecordSchema, create(HostRecordSchema, record)));
		await startAggregator();
		const asked = performance.now();
		expect(await received(4000)).toBe(0n);
		expect(performance.now() - asked).toBeGreaterThan(1000);
		const again = performance.now();
		expect(await received()).toBe(0n);
		expect(performance.now() - again).toBeLessThan(1000);
	});

	test("of two side by side each answers the same, and one that is killed costs no answer and no figure", async () => {
		await startAggregator();
		await startAggregator();
		const totals = async () => {
			const answers = await Promise.all(Array.from({ length: 20 }, () => getStats()));
			return [
				...new Set(answers.map(({ rules }) => `${rules[0]?.receivedPackets}/${rules[0]?.packetsPerSecond}`)),
			];
		};
		const reading = (sequence: bigint, worker: number, received: bigint) =>
			publish({
				sequence,
				worker,
				atMs: T0 + Number(sequence) * 1000,
				rules: [{ uid: uid(1), received }],
			});
		for (const worker of [0, 1]) for (const sequence of [1n, 2n]) reading(sequence, worker, sequence * 100n);
		await until(async () => (await totals()).join() === "400/200");
		await killAggregator();
		expect(await totals()).toEqual(["400/200"]);
		reading(3n, 0, 350n);
		await until(async () => (await totals()).join() === "550/250");
		// The one that comes back has one sample of each worker: it knows all figures, and no rate yet.
		await startAggregator();
		expect((await totals()).toSorted()).toEqual(["550/250", "550/undefined"]);
		for (const worker of [0, 1]) reading(4n, worker, 400n);
		await until(async () => (await totals()).join() === "800/150");
	});

	test("a host that died keeps its figures, marked with their age, over a restart of the aggregator too", async () => {
		await startAggregator();
		for (const host of ["relay-a", "relay-b"])
			publish({ host, sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
		const heardMs = performance.now();
		const stale = async () => {
			publish({
				host: "relay-a",
				sequence: 2n + BigInt(Date.now()),
				rules: [{ uid: uid(1), received: 10n }],
			});
			const hosts = (await getStats()).rules[0]?.hosts ?? [];
			return hosts.flatMap((host) => (host.stale ? [[host.host, host.receivedPackets]] : []));
		};
		expect(await stale()).toEqual([]);
		await until(async () => (await stale()).length > 0);
		expect(performance.now() - heardMs).toBeGreaterThan(3_000);
		await killAggregator();
		await startAggregator();
		expect(await stale()).toEqual([["relay-b", 10n]]);
		const [rule] = (await getStats()).rules;
		expect(rule?.receivedPackets).toBe(20n);
		expect(rule?.hosts[1]?.ageSeconds).toBeGreaterThan(3);
	});

	test("an up that the host has not begun is forgotten when the host speaks, and never kept", async () => {
		await startAggregator();
		publish({ host: "relay-b", incarnation: 2n ** 40n, rules: [{ uid: uid(1), received: 10n }] });
		await until(async () => (await received()) === 10n);
		await begin("relay-b", 100n);
		await until(async () => (await received()) === 0n);
		publish({ host: "relay-b", incarnation: 2n ** 40n, rules: [{ uid: uid(1), received: 10n }] });
		publish({ host: "relay-b", incarnation: 100n, rules: [{ uid: uid(1), received: 3n }] });
		await until(async () => (await received()) === 3n);
		// Another one, that has never spoken itself, is kept nowhere when all is stopped.
		publish({ host: "relay-c", incarnation: 7n, rules: [{ uid: uid(1), received: 5n }] });
		await until(async () => (await received()) === 8n);
		const child = processes.pop();
		child?.kill("SIGTERM");
		expect(await child?.exited).toBe(0);
		const jsm = await jetstreamManager(nc);
		const { state } = await jsm.streams.info(`KV_${buckets.figures}`, { subjects_filter: ">" });
		expect(Object.keys(state.subjects ?? {}).map((subject) => subject.split(".")[2])).toEqual(["relay-b"]);
	});

	test("what a host counted stays when it begins anew and when it is gone, though all that knew it ended", async () => {
		await startAggregator();
		await startAggregator();
		const totals = async () => {
			const answers = await Promise.all(Array.from({ length: 20 }, () => received()));
			return [...new Set(answers)];
		};
		const reading = { host: "relay-b", rules: [{ uid: uid(1), received: 10n }] };
		await begin("relay-b", 200n);
		publish({ ...reading, incarnation: 100n });
		await until(async () => (await totals()).join() === "10");
		// The rule has no such output.
		const outputs = [R1, R2].map((output) => ({ output, sent: 10n }));
		const rules = [{ uid: uid(1), received: 10n, outputs }];
		publish({ ...reading, incarnation: 200n, rules });
		publish({ ...reading, incarnation: 200n, worker: 1 });
		await until(async () => (await totals()).join() === "30");
		const jsm = await jetstreamManager(nc);
		const kept = async () => {
			const subject = kvSubject(buckets.figures, keptFiguresKey("relay-b", 0));
			const stored = await jsm.streams.getMessage(`KV_${buckets.figures}`, { last_by_subj: subject });
			return stored === null ? undefined : fromBinary(KeptFiguresSchema, stored.data);
		};
		await until(async () => (await kept())?.last !== undefined);
		expect((await kept())?.previous?.ruleReceivedPackets).toEqual([10n]);
		expect((await kept())?.last?.ruleReceivedPackets).toEqual([20n]);
		expect((await kept())?.last?.outputKeys).toEqual([R1.key]);
		await killAggregator();
		await killAggregator();
		await server.kill();
		await server.start();
		await startAggregator();
		await until(async () => (await received().catch(() => undefined)) !== undefined);
		const [rule] = (await getStats()).rules;
		expect(rule?.receivedPackets).toBe(30n);
		expect(rule?.hosts).toMatchObject([{ host: "relay-b", receivedPackets: 20n, stale: true }]);
		expect(rule?.hosts[0]?.ageSeconds).toBeGreaterThan(5);
	});

	test("publishes a rule that counts nothing each second as well", async () => {
		const heardMs: number[] = [];
		nc.subscribe("sluice.v1.stats.video", { callback: () => void heardMs.push(performance.now()) });
		await nc.flush();
		await startAggregator();
		await until(() => heardMs.length >= 4);
		expect((heardMs[3] ?? 0) - (heardMs[0] ?? 0)).toBeLessThan(8_000);
	});

	test("what was heard until it was stopped is kept: a host may begin anew meanwhile, and nats-server lose the counters", async () => {
		await startAggregator();
		await begin("relay-b", 6n);
		const say = (incarnation: bigint, count: bigint) => {
			publish({ host: "relay-b", incarnation, sequence: 1n, rules: [{ uid: uid(1), received: count }] });
		};
		say(5n, 100n);
		await until(async () => (await received()) === 100n);
		const child = processes.pop();
		child?.kill("SIGTERM");
		expect(await child?.exited).toBe(0);
		const jsm = await jetstreamManager(nc);
		await jsm.streams.purge(countersStream);
		say(6n, 10n);
		await nc.flush();
		await startAggregator();
		await until(async () => (await received()) === 110n);
	});

	test("figures that it cannot keep when it is stopped are counted in one line", async () => {
		const log = await startAggregator();
		await begin("relay-b", 100n);
		publish({ host: "relay-b", rules: [{ uid: uid(1), received: 10n }] });
		await until(async () => (await received()) === 10n);
		const jsm = await jetstreamManager(nc);
		const { config } = await jsm.streams.info(`KV_${buckets.figures}`);
		await jsm.streams.update(config.name, { ...config, max_msg_size: 10 });
		const child = processes.pop();
		child?.kill("SIGTERM");
		expect(await child?.exited).toBe(0);
		await until(() => log().includes("figures were not kept in time"));
		expect(log()).toContain('"figures":1,');
	});

	test("publishes the same figures in JSON, for whoever watches from a shell", async () => {
		const heard: Msg[] = [];
		nc.subscribe("sluice.v1.stats.>", { callback: (_, message) => void heard.push(message) });
		publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
		await nc.flush();
		await startAggregator();
		await until(() => heard.length >= 2);
		const [binary, json] = heard;
		expect(json?.subject).toBe(`${binary?.subject}.json`);
		expect(json?.headers?.get("Content-Type")).toBe("application/json");
		const figures = fromJsonString(RuleStatsSchema, json?.string() ?? "");
		expect(figures).toEqual(fromBinary(RuleStatsSchema, binary?.data ?? new Uint8Array()));
		expect(figures.receivedPackets).toBe(10n);
	});

	test("what nobody listens to is not sent, and whoever begins to listen hears the next run", async () => {
		for (let k = 1; k <= 50; k++)
			await put(buckets.rules, `r-${k}`, toBinary(StoredRuleSchema, storedRule(`r-${k}`, k)));
		const log = await startAggregator("debug");
		const runs = () =>
			[...log().matchAll(/"rules":(\d+),"msg":"published"|"msg":"published","rules":(\d+)/g)].map(
				([, a, b]) => Number(a ?? b),
			);
		await until(() => runs().length >= 2);
		expect(Math.max(...runs())).toBe(0);
		const heard = new Set<string>();
		const listen = (subject: string) =>
			nc.subscribe(subject, { callback: (_, message) => void heard.add(message.subject) });
		const one = listen("sluice.v1.stats.r-7");
		await until(() => heard.size > 0);
		await until(() => runs().at(-1) === 1);
		one.unsubscribe();
		await until(() => runs().at(-1) === 0);
		listen("sluice.v1.stats.*.json");
		await until(() => runs().at(-1) === 51);
		await until(() => heard.size === 52);
	});

	test("publishes each rule's figures each second, and several aggregators say the same", async () => {
		const heard: RuleStats[] = [];
		nc.subscribe("sluice.v1.stats.video", {
			callback: (_, message) => {
				heard.push(fromBinary(RuleStatsSchema, message.data));
			},
		});
		publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
		await nc.flush();
		await Promise.all([startAggregator(), startAggregator()]);
		publish({ sequence: 2n, rules: [{ uid: uid(1), received: 20n }] });
		// Both publish: whoever listens hears the same twice.
		await until(() => heard.filter(({ receivedPackets }) => receivedPackets === 20n).length >= 2);
		const answers = await Promise.all(Array.from({ length: 20 }, () => received()));
		expect(new Set(answers)).toEqual(new Set([20n]));
	});
});
