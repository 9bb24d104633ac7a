import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { RuleSchema } from "@sluice/proto/gen/rule";
import { kvSubject } from "@sluice/proto/subjects";
import { connectNats } from "./connect.ts";
import { MORE_HEADER } from "./headers.ts";
import { followBucket, type SnapshotChange } from "./kv-snapshot.ts";
import { startNatsServer, type TestNatsServer } from "./testing/nats-server.ts";
import { publishRaw } from "./testing/raw-publish.ts";
import { startTcpRelay } from "./testing/tcp-relay.ts";
import { until } from "./testing/until.ts";

let server: TestNatsServer;
let nc: NatsConnection;
let kvm: Kvm;
beforeAll(async () => {
	server = await startNatsServer();
	nc = await server.connect();
	kvm = new Kvm(nc);
});
afterAll(async () => {
	await server.stop();
});

const rule = (name: string) => toBinary(RuleSchema, create(RuleSchema, { name }));

async function fill(bucket: KV, count: number): Promise<void> {
	for (let k = 0; k < count; k += 1) await bucket.put(`key-${k}`, rule(`rule-${k}`));
}

test("initial data are complete when following begins, without removed keys", async () => {
	const bucket = await kvm.create("initial", { history: 1 });
	await fill(bucket, 50);
	await bucket.delete("key-7");
	const snapshot = await followBucket(nc, "initial", RuleSchema);
	expect(snapshot.entries.size).toBe(49);
	expect(snapshot.entries.get("key-49")?.value.name).toBe("rule-49");
	expect(snapshot.entries.get("key-49")?.revision).toBe(50n);
	expect(snapshot.lastSequence).toBe(51n);
	snapshot.stop();
});

test("values that are not what their keys say are left out, and told in one line", async () => {
	const bucket = await kvm.create("foreign", { history: 1 });
	await bucket.put("a", rule("a"));
	for (let k = 0; k < 20; k += 1) await bucket.put(`b-${k}`, rule("a"));
	const troubles: string[] = [];
	const snapshot = await followBucket(nc, "foreign", RuleSchema, {
		fault: (key, { name }) => (name === key ? undefined : "it speaks of another"),
		onTrouble: (message) => troubles.push(message),
	});
	expect([...snapshot.entries.keys()]).toEqual(["a"]);
	expect(troubles).toEqual(["bucket foreign: b-0 is unreadable and left out: it speaks of another"]);
	snapshot.stop();
});

test("a value that can no longer be read is lost, and not removed", async () => {
	const bucket = await kvm.create("unreadable", { history: 1 });
	await bucket.put("a", rule("a"));
	const snapshot = await followBucket(nc, "unreadable", RuleSchema, {
		fault: (_, { name }) => (name === "" ? "no name" : undefined),
	});
	const changes: SnapshotChange<unknown>[] = [];
	snapshot.onChange((change) => changes.push(change));
	await bucket.put("a", rule(""));
	await bucket.put("a", rule("a"));
	await bucket.delete("a");
	await until(() => changes.length === 3);
	expect(changes.map(({ entry, lost }) => [entry !== undefined, lost])).toEqual([
		[false, true],
		[true, undefined],
		[false, undefined],
	]);
	snapshot.stop();
});

test("a message whose headers are none is left out, when it is read as well as when it comes", async () => {
	const bucket = await kvm.create("headers", { history: 1 });
	await bucket.put("a", rule("a"));
	const poison = (key: string) =>
		publishRaw(server.port, { subject: kvSubject("headers", key), headers: ["a b: c"] });
	await poison("b");
	const troubles: string[] = [];
	const follow = () =>
		followBucket(nc, "headers", RuleSchema, {
			edits: true,
			signal: AbortSignal.timeout(20_000),
			onTrouble: (message) => troubles.push(message),
		});
	const snapshot = await follow();
	await poison("c");
	await bucket.put("d", rule("d"));
	await until(() => snapshot.entries.has("d"));
	expect(snapshot.current).toBe(true);
	expect([...snapshot.entries.keys()]).toEqual(["a", "d"]);
	expect(troubles).toEqual([expect.stringMatching(/^bucket headers: b is unreadable and left out: /)]);
	snapshot.stop();
});

test("a storage that does not answer is unavailable to whoever wants all that it holds", async () => {
	await kvm.create("gone", { history: 1 });
	const snapshot = await followBucket(nc, "gone", RuleSchema);
	await (await jetstreamManager(nc)).streams.delete("KV_gone");
	const refused = await snapshot.catchUp(1_000).catch((thrown: unknown) => thrown);
	expect(refused).toMatchObject({ name: "SluiceError", code: "unavailable" });
	snapshot.stop();
});

test("changes are told in order with what was before", async () => {
	const bucket = await kvm.create("changes", { history: 1 });
	const snapshot = await followBucket(nc, "changes", RuleSchema);
	const seen: SnapshotChange<{ name: string }>[] = [];
	snapshot.onChange((change) => seen.push(change));
	await bucket.put("a", rule("one"));
	await bucket.put("a", rule("two"));
	await bucket.delete("a");
	await until(() => seen.length === 3);
	expect(
		seen.map((change) => [change.previous?.value.name, change.entry?.value.name, change.revision]),
	).toEqual([
		[undefined, "one", 1n],
		["one", "two", 2n],
		["two", undefined, 3n],
	]);
	expect(snapshot.lastSequence).toBe(3n);
	snapshot.stop();
});

test("of removals that end by themselves no key is remembered for long, and one that stands all the same does no harm", async () => {
	const bucket = await kvm.create("ends", { history: 1 });
	await fill(bucket, 3);
	const relay = await startTcpRelay(server.port);
	const away = await connectNats({ url: relay.url, name: "away" });
	const trouble: string[] = [];
	const onTrouble = (message: string) => void trouble.push(message);
	const snapshot = await followBucket(away, "ends", RuleSchema, { removalsLastMs: 100, onTrouble });
	await bucket.delete("key-0");
	await until(() => snapshot.removed.size === 1);
	const sinceMs = performance.now();
	await until(() => performance.now() - sinceMs > 150);
	await bucket.delete("key-1");
	await until(() => snapshot.removed.has("key-1"));
	expect([...snapshot.removed.keys()]).toEqual(["key-1"]);
	relay.cut();
	await until(() => !snapshot.current);
	relay.mend();
	await until(() => snapshot.current);
	expect([...snapshot.entries.keys()]).toEqual(["key-2"]);
	expect(trouble).toEqual([]);
	snapshot.stop();
	await away.close();
	relay.stop();
}, 60_000);

test("changes say whether more of their edit comes", async () => {
	await kvm.create("edits", { history: 1 });
	const [plain, edits] = await Promise.all(
		[false, true].map((edits) => followBucket(nc, "edits", RuleSchema, { edits })),
	);
	const seen: (boolean | undefined)[][] = [];
	for (const snapshot of [plain, edits]) {
		const told: (boolean | undefined)[] = [];
		seen.push(told);
		snapshot?.onChange(({ more }) => told.push(more));
	}
	const put = async (key: string, more: boolean) => {
		const sent = headers();
		if (more) sent.set(MORE_HEADER, "1");
		await jetstream(nc).publish(
			kvSubject("edits", key),
			toBinary(RuleSchema, create(RuleSchema, { name: key })),
			{
				headers: sent,
			},
		);
	};
	await put("a", true);
	// Of two that are there already the first says nothing.
	await until(() => seen.every((told) => told.length === 1));
	await put("b", false);
	await until(() => seen.every((told) => told.length === 2));
	expect(seen).toEqual([
		[undefined, undefined],
		[true, false],
	]);
	plain?.stop();
	edits?.stop();
});

test("a missing bucket is waited for", async () => {
	const trouble: string[] = [];
	const following = followBucket(nc, "late", RuleSchema, { onTrouble: (message) => trouble.push(message) });
	await until(() => trouble.length > 0);
	expect(trouble[0]).toBe("bucket late does not exist: waiting for it");
	await fill(await kvm.create("late", { history: 1 }), 3);
	const snapshot = await following;
	await snapshot.catchUp(20_000);
	expect(snapshot.entries.size).toBe(3);
	snapshot.stop();
});

test("catching up returns once everything written before is there", async () => {
	const bucket = await kvm.create("catching", { history: 1 });
	const snapshot = await followBucket(nc, "catching", RuleSchema);
	await fill(bucket, 20);
	await snapshot.catchUp(20_000);
	expect(snapshot.entries.size).toBe(20);
	// The sequence of a message that was deleted from the stream never comes.
	await bucket.put("gone", rule("gone"));
	const second = await followBucket(nc, "catching", RuleSchema);
	const jsm = await jetstreamManager(nc);
	await jsm.streams.deleteMessage("KV_catching", 21);
	await second.catchUp(20_000);
	const third = await followBucket(nc, "catching", RuleSchema);
	expect(third.entries.has("gone")).toBe(false);
	expect(third.lastSequence).toBe(21n);
	for (const each of [snapshot, second, third]) each.stop();
});

test("an unreadable entry is left out and said", async () => {
	const bucket = await kvm.create("garbage", { history: 1 });
	await bucket.put("bad", new Uint8Array([0xff, 0xff, 0xff]));
	await bucket.put("good", rule("good"));
	const trouble: string[] = [];
	const snapshot = await followBucket(nc, "garbage", RuleSchema, {
		onTrouble: (message) => trouble.push(message),
	});
	expect([...snapshot.entries.keys()]).toEqual(["good"]);
	expect(trouble[0]).toStartWith("bucket garbage: bad is unreadable and left out");
	snapshot.stop();
});

test("a killed server's content goes on where it was, within seconds", async () => {
	const bucket = await kvm.create("restart", { history: 1 });
	await fill(bucket, 10);
	const snapshot = await followBucket(nc, "restart", RuleSchema);
	const changes: string[] = [];
	snapshot.onChange((change) => changes.push(change.key));
	await server.kill();
	await until(() => !snapshot.current);
	expect(snapshot.entries.size).toBe(10);
	await server.start();
	await until(() => snapshot.current);
	await bucket.put("after", rule("after"));
	await until(() => changes.length > 0);
	expect(changes).toEqual(["after"]);
	expect(snapshot.entries.size).toBe(11);
	snapshot.stop();
}, 60_000);

test("a bucket made anew under the same name replaces the content", async () => {
	await fill(await kvm.create("replaced", { history: 1 }), 5);
	const snapshot = await followBucket(nc, "replaced", RuleSchema);
	const changes: [string, boolean][] = [];
	snapshot.onChange((change) => changes.push([change.key, change.entry !== undefined]));
	const jsm = await jetstreamManager(nc);
	await jsm.streams.delete("KV_replaced");
	const anew = await kvm.create("replaced", { history: 1 });
	await anew.put("key-0", rule("other"));
	await snapshot.catchUp(20_000);
	expect(snapshot.entries.size).toBe(1);
	expect(snapshot.entries.get("key-0")?.value.name).toBe("other");
	expect(snapshot.lastSequence).toBe(1n);
	expect(changes.filter(([, present]) => !present).map(([key]) => key)).toEqual([
		"key-1",
		"key-2",
		"key-3",
		"key-4",
	]);
	snapshot.stop();
}, 60_000);

test("a damaged store is read as far as it goes, and what is lost is said", async () => {
	const damaged = await startNatsServer();
	try {
		const bucket = await new Kvm(await damaged.connect()).create("damaged", { history: 1 });
		for (let round = 0; round < 12; round += 1) await fill(bucket, 25);
		// Stopped in order it trusts its index at the next start, and announces what that lists.
		await damaged.kill("SIGTERM");
		await damage(join(damaged.folder, "store/jetstream/$G/streams/KV_damaged/msgs/1.blk"), 800);
		await damaged.start();
		const trouble: string[] = [];
		const snapshot = await followBucket(await damaged.connect(), "damaged", RuleSchema, {
			onTrouble: (message) => trouble.push(message),
		});
		const readable = snapshot.entries.size;
		expect(readable).toBeGreaterThan(0);
		expect(readable).toBeLessThan(25);
		expect(trouble).toEqual([
			`bucket damaged is damaged: 25 entries expected, ${readable} readable: restore the data directory, or apply your rules again`,
		]);
		expect(snapshot.current).toBe(true);
		snapshot.stop();
	} finally {
		await damaged.stop();
	}
}, 60_000);

test("a store that lost its end, which its server does not know, is told by who has read it", async () => {
	const damaged = await startNatsServer();
	try {
		const nc = await damaged.connect();
		await fill(await new Kvm(nc).create("back", { history: 1 }), 25);
		const trouble: string[] = [];
		const snapshot = await followBucket(nc, "back", RuleSchema, {
			onTrouble: (message) => trouble.push(message),
		});
		const lost: string[] = [];
		snapshot.onChange((change) => change.lost && lost.push(change.key));
		// Killed, it has no index, and takes what it can read to be all.
		await damaged.kill();
		await until(() => !snapshot.current);
		await damage(join(damaged.folder, "store/jetstream/$G/streams/KV_back/msgs/1.blk"), 300);
		await damaged.start();
		await until(() => snapshot.current);
		const left = snapshot.entries.size;
		expect(left).toBeGreaterThan(0);
		expect(lost).toEqual(Array.from({ length: 25 - left }, (_, k) => `key-${left + k}`));
		expect(trouble).toEqual([
			`bucket back went back from 25 to ${left}: what was written between is lost: restore the data directory, or apply your rules again`,
		]);
		snapshot.stop();
	} finally {
		await damaged.stop();
	}
}, 60_000);

test("a bucket that is written to while it is read is not damaged", async () => {
	const bucket = await kvm.create("written", { history: 1 });
	await fill(bucket, 40);
	const trouble: string[] = [];
	const churn = { on: true };
	const churned = (async () => {
		for (let round = 0; churn.on; round += 1) await bucket.put(`key-${round % 40}`, rule(`round-${round}`));
	})();
	for (let k = 0; k < 150; k += 1) {
		const snapshot = await followBucket(nc, "written", RuleSchema, {
			onTrouble: (message) => trouble.push(message),
		});
		expect([snapshot.entries.size, snapshot.stream.damaged]).toEqual([40, false]);
		snapshot.stop();
	}
	churn.on = false;
	await churned;
	expect(trouble).toEqual([]);
}, 60_000);

/** Turns bits of one message so far from the end of the file. */
async function damage(path: string, fromEnd: number): Promise<void> {
	const content = await readFile(path);
	const start = content.length - fromEnd;
	for (let k = start; k < start + 20; k += 1) content[k] = (content[k] ?? 0) ^ 0x55;
	await writeFile(path, content);
}
