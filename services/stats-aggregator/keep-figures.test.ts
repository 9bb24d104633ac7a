import { afterEach, beforeEach, expect, setSystemTime, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { call } from "@sluice/lib/client";
import { createLogger } from "@sluice/lib/log";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import {
	EndedRunRequestSchema,
	EndedRunResponseSchema,
	type KeptFigures,
	KeptFiguresSchema,
	type WorkerCounters,
	WorkerCountersSchema,
} from "@sluice/proto/gen/stats";
import { buckets, endedRunSubject, keptFiguresKey, kvSubject } from "@sluice/proto/subjects";
import { KnownHosts } from "./belongs.ts";
import type { Countable } from "./catalogue.ts";
import { steadyNowMs } from "./clock.ts";
import { emptyFold, type Fold } from "./fold.ts";
import { FigureKeeper } from "./keep-figures.ts";
import { ruleStats } from "./query.ts";
import { serveFigures } from "./serve-figures.ts";
import { foldReading, R1, R2, uid, workerCounters } from "./testing/counters.ts";

const STREAM = `KV_${buckets.figures}`;
const quiet = createLogger({ service: "test", level: "error" });
let server: TestNatsServer;
let nc: NatsConnection;
let jsm: JetStreamManager;
let fold: Fold;
let known: KnownHosts;
let keeper: FigureKeeper;
/** The rule is in the bucket of rules. */
let there: boolean;
/** What host say of ended runs is taken for. */
let stored: Countable;
let log: string;

beforeEach(() => open());

afterEach(close);

async function open(maxPayload?: string): Promise<void> {
	server = await startNatsServer(maxPayload === undefined ? {} : { maxPayload });
	nc = await server.connect();
	jsm = await jetstreamManager(nc);
	await addBucket(true);
	fold = emptyFold();
	known = new KnownHosts();
	for (const host of ["relay-b", "relay-c"]) begin(host, 1_000n);
	there = true;
	stored = new Map([[uid(1), new Set()]]);
	log = "";
	await restart();
}

/** @param ends whether messages may say when they end, as control-api makes it. */
async function addBucket(ends: boolean): Promise<void> {
	const subjects = [kvSubject(buckets.figures, ">")];
	await jsm.streams.add({ name: STREAM, subjects, max_msgs_per_subject: 1, allow_msg_ttl: ends });
}

async function messages(): Promise<number> {
	return (await jsm.streams.info(STREAM)).state.messages;
}

/** As it is with a server that takes small messages only. */
async function small(): Promise<void> {
	await close();
	await open("64KB");
}

/** @param deadMs how long what counts for no rule is kept. */
async function restart(deadMs?: number, onReleased?: (host: string) => void): Promise<void> {
	const write = (line: string) => {
		log += line;
	};
	const logger = createLogger({ service: "test", level: "warn", destination: { write } });
	keeper = new FigureKeeper(nc, fold, known, logger, deadMs);
	await keeper.read();
	keeper.start("relay-a", () => () => there, onReleased);
	await serveFigures(nc, keeper, () => stored, logger);
}

async function close(): Promise<void> {
	setSystemTime();
	await keeper.stop();
	await server.stop();
}

function begin(host: string, incarnation: bigint): void {
	known.take(create(HostRecordSchema, { host, incarnation, workers: [{ worker: 0 }] }));
}

function hear(host: string, incarnation: bigint, received: bigint, by = fold): void {
	foldReading(by, { host, incarnation, rules: [{ uid: uid(1), received }] }, steadyNowMs());
}

const PARTS = 20;

/** Of so many rules in each of some parts. */
function hearParts(host: string, incarnation: bigint, count: number): void {
	for (let part = 0; part < PARTS; part++) {
		const first = part.toString(16).padStart(2, "0");
		const rules = Array.from({ length: count }, (_, k) => ({ uid: first + uid(k).slice(2), received: 1n }));
		foldReading(fold, { host, worker: part, incarnation, rules }, steadyNowMs());
	}
}

/** What its supervisor says of a run that ended. */
async function tell(host: string, incarnation: bigint, counts: bigint | WorkerCounters): Promise<void> {
	const counted =
		typeof counts === "bigint" ? workerCounters({ rules: [{ uid: uid(1), received: counts }] }) : counts;
	const [request, response] = [EndedRunRequestSchema, EndedRunResponseSchema];
	await call(nc, endedRunSubject(host), request, response, { incarnation, counted }, 20_000);
}

function subject(host: string): string {
	return kvSubject(buckets.figures, keptFiguresKey(host, 0));
}

/** Undefined: none, or nobody can read it. */
async function kept(host: string): Promise<KeptFigures | undefined> {
	const stored = await jsm.streams.getMessage(STREAM, { last_by_subj: subject(host) });
	try {
		return stored === null ? undefined : fromBinary(KeptFiguresSchema, stored.data);
	} catch {
		return undefined;
	}
}

/** Whether it was removed; what says so ends. */
async function removed(subject: string): Promise<boolean> {
	const message = await jsm.streams.getMessage(STREAM, { last_by_subj: subject });
	return message === null || message.header.get("KV-Operation") === "DEL";
}

async function keptIs(host: string, packets: bigint): Promise<void> {
	await until(async () => {
		const { former, previous } = (await kept(host)) ?? {};
		return (former?.ruleReceivedPackets[0] ?? 0n) + (previous?.ruleReceivedPackets[0] ?? 0n) === packets;
	});
}

test("after somebody emptied the bucket, what is known of all hosts is written again", async () => {
	for (const host of ["relay-b", "relay-c"]) for (const run of [100n, 200n]) hear(host, run, 10n);
	for (const host of ["relay-b", "relay-c"]) await keptIs(host, 10n);
	await jsm.streams.purge(STREAM);
	hear("relay-b", 300n, 1n);
	await keptIs("relay-b", 20n);
	await keptIs("relay-c", 10n);
});

test("after somebody removed a host's figures, they are written again", async () => {
	for (const run of [100n, 200n]) hear("relay-b", run, 10n);
	await keptIs("relay-b", 10n);
	const removal = headers();
	removal.set("KV-Operation", "DEL");
	await nc.request(subject("relay-b"), "", { headers: removal, timeout: 20_000 });
	hear("relay-b", 300n, 1n);
	await keptIs("relay-b", 20n);
});

test("figures that nobody can read are replaced by what is known, and hold nobody up", async () => {
	const unfit = create(KeptFiguresSchema, { incarnation: 200n, former: { ruleReceivedPackets: [7n] } });
	for (const host of ["relay-b", "relay-c"]) for (const run of [100n, 200n]) hear(host, run, 10n);
	for (const host of ["relay-b", "relay-c"]) await keptIs(host, 10n);
	await nc.request(subject("relay-b"), Uint8Array.of(0xff), { timeout: 20_000 });
	await nc.request(subject("relay-c"), toBinary(KeptFiguresSchema, unfit), { timeout: 20_000 });
	for (const host of ["relay-b", "relay-c"]) hear(host, 300n, 1n);
	for (const host of ["relay-b", "relay-c"]) await keptIs(host, 20n);
});

test("another aggregator that was first, and had heard less of the run before, takes nothing out", async () => {
	for (const [run, received] of [
		[100n, 10n],
		[200n, 1n],
	] as const)
		hear("relay-b", run, received);
	const previous = workerCounters({ incarnation: 100n, rules: [{ uid: uid(1), received: 4n }] });
	const value = create(KeptFiguresSchema, { incarnation: 200n, previous });
	await nc.request(subject("relay-b"), toBinary(KeptFiguresSchema, value), { timeout: 20_000 });
	await keptIs("relay-b", 10n);
});

test("a run that its host has not begun stops nobody's figures, and is taken when it has", async () => {
	await expect(tell("relay-b", 2_000n, 7n)).rejects.toMatchObject({ code: "unavailable" });
	await tell("relay-b", 500n, 4n);
	hear("relay-b", 1_000n, 10n);
	await keptIs("relay-b", 4n);
	begin("relay-b", 3_000n);
	await tell("relay-b", 2_000n, 7n);
	hear("relay-b", 3_000n, 1n);
	await keptIs("relay-b", 21n);
});

test("what a host says of a run that ended is on disk when it is answered, of rules and outputs that there are", async () => {
	const outputs = [R1, R2].map((output) => ({ output, sent: 4n }));
	const counted = workerCounters({
		rules: [1, 2].map((number) => ({ uid: uid(number), received: 4n, outputs })),
	});
	stored = undefined;
	await expect(tell("relay-b", 500n, counted)).rejects.toMatchObject({ code: "unavailable" });
	stored = new Map([[uid(1), new Set([R1.key])]]);
	await tell("relay-b", 500n, counted);
	expect((await kept("relay-b"))?.last).toMatchObject({
		ruleReceivedPackets: [4n],
		outputKeys: [R1.key],
	});
	const unfit = create(WorkerCountersSchema, { ruleReceivedPackets: [7n] });
	await expect(tell("relay-b", 500n, unfit)).rejects.toMatchObject({ code: "invalid" });
});

test("two aggregators agree about runs that either of them was told, while both hear the host and write", async () => {
	const folds = [fold, emptyFold()];
	const others = folds.slice(1).map((each) => new FigureKeeper(nc, each, known, quiet));
	for (const other of others) {
		await other.read();
		other.start("relay-a", () => () => true);
		await serveFigures(nc, other, () => stored, quiet);
	}
	begin("relay-b", 3_000n);
	for (let run = 1_000n; run < 1_010n; run += 2n) {
		for (const each of folds) hear("relay-b", run, 10n, each);
		await Promise.all([tell("relay-b", run - 500n, 3n), tell("relay-b", run + 1n, 5n)]);
	}
	const later = emptyFold();
	const third = new FigureKeeper(nc, later, known, quiet);
	await third.read();
	const total = (each: Fold) =>
		ruleStats(each, { name: "a", uid: uid(1), outputs: [] }, steadyNowMs()).receivedPackets;
	await until(() => [...folds, later].every((each) => total(each) === 90n));
	for (const other of [...others, third]) await other.stop();
});

test("a host whose figures are more than NATS takes is named in one line, and those of the others are kept", async () => {
	await small();
	for (const run of [100n, 200n, 300n]) {
		hearParts("relay-b", run, 2_000);
		hear("relay-c", run, 10n);
		await keptIs("relay-c", run === 300n ? 20n : run === 200n ? 10n : 0n);
	}
	expect(log.match(/"msg":"[^"]*"/g)).toEqual([
		'"msg":"a host\'s figures are more than NATS takes, and not kept: totals lack them if it begins anew"',
	]);
	expect(log).toContain('"relay":"relay-b"');
});

test("what counts for no rule any more is removed after a time, and so is what an earlier version let hosts write", async () => {
	await keeper.stop();
	const formerly = kvSubject(buckets.figures, "relay-b.0.3");
	const told = toBinary(KeptFiguresSchema, create(KeptFiguresSchema, { incarnation: 5n }));
	await nc.request(formerly, told, { timeout: 20_000 });
	await restart(100);
	for (const run of [100n, 200n]) hear("relay-b", run, 10n);
	await keptIs("relay-b", 10n);
	there = false;
	await until(() => fold.hosts.get("relay-b")?.kept.size === 0);
	// A rule that is made then counts there as if nothing had been.
	there = true;
	hear("relay-b", 300n, 1n);
	await keptIs("relay-b", 10n);
	await until(() => removed(formerly));
});

test("nothing stays of what was removed, nor of removals by an earlier version", async () => {
	await keeper.stop();
	const removal = headers();
	removal.set("KV-Operation", "DEL");
	await nc.request(kvSubject(buckets.figures, "relay-d.7"), "", { headers: removal, timeout: 20_000 });
	const sinceMs = Date.now();
	await until(() => Date.now() - sinceMs > 300);
	await restart(100);
	for (const run of [100n, 200n]) hear("relay-b", run, 10n);
	await keptIs("relay-b", 10n);
	there = false;
	await until(async () => (await messages()) === 0);
	expect(log).toBe("");
	// As if nothing had been.
	there = true;
	for (const run of [300n, 400n]) hear("relay-b", run, 20n);
	await keptIs("relay-b", 20n);
	expect(log).toBe("");
});

test("what was removed while nobody listened, and that has ended too, is forgotten", async () => {
	await keeper.stop();
	await restart(100);
	for (const run of [100n, 200n]) hear("relay-b", run, 10n);
	await keptIs("relay-b", 10n);
	await until(() => keeper.unkept === 0);
	await jsm.streams.deleteMessage(STREAM, (await jsm.streams.info(STREAM)).state.last_seq);
	there = false;
	await until(() => fold.hosts.get("relay-b") === undefined);
	expect(log).toBe("");
});

test("where the bucket does not let messages end, what is dead is removed all the same", async () => {
	await keeper.stop();
	await jsm.streams.delete(STREAM);
	await addBucket(false);
	await restart(100);
	for (const run of [100n, 200n]) hear("relay-b", run, 10n);
	await keptIs("relay-b", 10n);
	there = false;
	await until(() => removed(subject("relay-b")));
	expect(log).toBe("");
});

test("of hosts that were silent for long and counted for no rule that there is nothing stays in memory", async () => {
	await keeper.stop();
	const released: string[] = [];
	await restart(100, (host) => void released.push(host));
	for (const host of ["relay-b", "relay-c"]) hear(host, 100n, 10n);
	await until(() => fold.hosts.values().every(({ kept }) => kept.size === 0) && keeper.unkept === 0);
	const sinceMs = performance.now();
	await until(() => performance.now() - sinceMs > 1_500);
	expect(fold.hosts.size).toBe(2);
	there = false;
	await until(() => fold.hosts.size === 0);
	expect(released).toEqual(["relay-b", "relay-c"]);
	there = true;
	hear("relay-b", 100n, 11n);
	expect(fold.hosts.get("relay-b")?.workers.size).toBe(1);
});

test("what a killed nats-server finds again of what was removed counts for nothing, and is removed again", async () => {
	await keeper.stop();
	await restart(100);
	for (const run of [100n, 200n, 300n]) {
		hearParts("relay-b", run, 1);
		await until(() => keeper.unkept === 0);
	}
	expect(fold.hosts.get("relay-b")?.kept.size).toBe(PARTS);
	there = false;
	await until(async () => (await messages()) === 0);
	await keeper.stop();
	await server.kill();
	await server.start();
	nc = await server.connect();
	jsm = await jetstreamManager(nc);
	fold = emptyFold();
	await restart(100);
	await until(async () => fold.hosts.size === 0 && (await messages()) === 0);
	expect(log).toBe("");
});

test("a clock that is set back makes nobody seem to have been heard later than now", async () => {
	hear("relay-b", 100n, 10n);
	setSystemTime(new Date(Date.now() - 3_600_000));
	await keeper.stop();
	expect((await kept("relay-b"))?.last?.ruleReceivedPackets).toEqual([10n]);
});

test("what could not be kept is counted", async () => {
	for (const host of ["relay-b", "relay-c"]) hear(host, 100n, 10n);
	const { config } = await jsm.streams.info(STREAM);
	await jsm.streams.update(STREAM, { ...config, max_msg_size: 10 });
	await keeper.stop();
	expect(keeper.unkept).toBe(2);
});
