import { afterEach, beforeEach, expect, setSystemTime, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { createLogger } from "@sluice/lib/log";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { type KeptFigures, KeptFiguresSchema } from "@sluice/proto/gen/stats";
import { buckets, endedRunKey, keptFiguresKey, kvSubject } from "@sluice/proto/subjects";
import { KnownHosts } from "./belongs.ts";
import { steadyNowMs } from "./clock.ts";
import { emptyFold, type Fold } from "./fold.ts";
import { FigureKeeper } from "./keep-figures.ts";
import { ruleStats } from "./query.ts";
import { foldReading, uid, workerCounters } from "./testing/counters.ts";

const STREAM = `KV_${buckets.figures}`;
let server: TestNatsServer;
let nc: NatsConnection;
let jsm: JetStreamManager;
let fold: Fold;
let known: KnownHosts;
let keeper: FigureKeeper;
/** The rule is in the bucket of rules. */
let there: boolean;

beforeEach(async () => {
	server = await startNatsServer();
	nc = await server.connect();
	jsm = await jetstreamManager(nc);
	await jsm.streams.add({
		name: STREAM,
		subjects: [kvSubject(buckets.figures, ">")],
		max_msgs_per_subject: 1,
	});
	fold = emptyFold();
	known = new KnownHosts();
	for (const host of ["relay-b", "relay-c"]) begin(host, 1_000n);
	keeper = new FigureKeeper(nc, fold, known, createLogger({ service: "test", level: "error" }));
	await keeper.read();
	there = true;
	keeper.start(() => () => there);
});

afterEach(async () => {
	setSystemTime();
	await keeper.stop();
	await server.stop();
});

function begin(host: string, incarnation: bigint): void {
	known.take(create(HostRecordSchema, { host, incarnation, workers: [{ worker: 0 }] }));
}

function hear(host: string, incarnation: bigint, received: bigint): void {
	foldReading(fold, { host, incarnation, rules: [{ uid: uid(1), received }] }, steadyNowMs());
}

/** What its supervisor says of a run that ended. */
async function tell(key: string, incarnation: bigint, received: bigint): Promise<void> {
	const last = workerCounters({ rules: [{ uid: uid(1), received }] });
	const value = toBinary(KeptFiguresSchema, create(KeptFiguresSchema, { incarnation, last }));
	await nc.request(kvSubject(buckets.figures, key), value, { timeout: 2_000 });
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
	await nc.request(subject("relay-b"), "", { headers: removal, timeout: 2_000 });
	hear("relay-b", 300n, 1n);
	await keptIs("relay-b", 20n);
});

test("figures that nobody can read are replaced by what is known, and hold nobody up", async () => {
	const unfit = create(KeptFiguresSchema, { incarnation: 200n, former: { ruleReceivedPackets: [7n] } });
	for (const host of ["relay-b", "relay-c"]) for (const run of [100n, 200n]) hear(host, run, 10n);
	for (const host of ["relay-b", "relay-c"]) await keptIs(host, 10n);
	await nc.request(subject("relay-b"), Uint8Array.of(0xff), { timeout: 2_000 });
	await nc.request(subject("relay-c"), toBinary(KeptFiguresSchema, unfit), { timeout: 2_000 });
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
	await nc.request(subject("relay-b"), toBinary(KeptFiguresSchema, value), { timeout: 2_000 });
	await keptIs("relay-b", 10n);
});

test("a run that its host has not begun stops nobody's figures, and is taken when it has", async () => {
	await tell(endedRunKey("relay-b", 0, 1), 2_000n, 7n);
	await tell(endedRunKey("relay-b", 0, 0), 500n, 4n);
	await until(() => fold.hosts.has("relay-b"));
	hear("relay-b", 1_000n, 10n);
	await keptIs("relay-b", 4n);
	begin("relay-b", 3_000n);
	keeper.takeBegun("relay-b");
	hear("relay-b", 3_000n, 1n);
	await keptIs("relay-b", 21n);
});

test("what an ended run counted for a rule that was lost counts when the rule is back", async () => {
	there = false;
	await tell(endedRunKey("relay-b", 0, 0), 500n, 4n);
	await until(() => fold.hosts.has("relay-b"));
	hear("relay-b", 1_000n, 10n);
	there = true;
	// Its workers go on: nothing of this run is kept meanwhile.
	await until(() => {
		hear("relay-b", 1_000n, 10n);
		return ruleStats(fold, { name: "a", uid: uid(1), outputs: [] }, steadyNowMs()).receivedPackets === 14n;
	});
});

test("parts and runs that there are not are left out", async () => {
	for (const key of ["9999.3", "NaN.0", "00.0", "0.99"]) await tell(`relay-b.${key}`, 400n, 5n);
	await tell(endedRunKey("relay-b", 0, 0), 500n, 4n);
	const parts = () => [...(fold.hosts.get("relay-b")?.kept.keys() ?? [])];
	await until(() => parts().includes(0));
	expect(parts()).toEqual([0]);
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
