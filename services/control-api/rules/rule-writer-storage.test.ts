import { afterEach, beforeEach, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { JetStreamApiError, type JetStreamClient, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { followBucket } from "@sluice/lib/kv-snapshot";
import { settlesWithin } from "@sluice/lib/settles-within";
import { PutRuleRequestSchema, RemoveRuleRequestSchema, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { buckets, kvSubject } from "@sluice/proto/subjects";
import { ConnectionWatch } from "../nats/connection-watch.ts";
import { RuleLog } from "../nats/rule-log.ts";
import { rulesSequence } from "../nats/storage.ts";
import { exampleRule, manyRules, quietLogger, refusal, TestCluster } from "../testing/cluster.ts";
import { edit, foreignWrite, putAt, ruleLog, storedNames } from "../testing/rule-writing.ts";
import { RuleBook } from "./rule-book.ts";
import { RuleWriter } from "./rule-writer.ts";
import { Rules } from "./rules.ts";

let cluster: TestCluster;
beforeEach(async () => {
	cluster = await TestCluster.start();
});
afterEach(async () => {
	await cluster.stop();
});

type Publish = JetStreamClient["publish"];

/**
 * A writer with a connection of its own. NATS, once it was ended, is back when the writer has waited for it in vain, if
 * it comes back at all.
 * @param write sends the write of that number, and may do something else before.
 */
async function writerOver(
	write: (publish: Publish, number: number, ...sent: Parameters<Publish>) => ReturnType<Publish>,
	comesBack = true,
): Promise<{ book: RuleBook; writer: RuleWriter }> {
	await cluster.startApi();
	const nc = await cluster.server.connect();
	const snapshot = await followBucket(nc, "sluice_rules", StoredRuleSchema);
	const catchUp = snapshot.catchUp.bind(snapshot);
	let back = comesBack ? () => void cluster.server.start() : () => {};
	snapshot.catchUp = (timeoutMs) =>
		catchUp(timeoutMs).catch((thrown) => {
			back();
			back = () => {};
			throw thrown;
		});
	const book = new RuleBook(snapshot);
	const js = jetstream(nc);
	let count = 0;
	const publish: Publish = (...sent) => write(js.publish.bind(js), ++count, ...sent);
	const log = new RuleLog({ publish }, new ConnectionWatch(nc), () => rulesSequence(nc));
	return { book, writer: new RuleWriter(book, log, quietLogger().facility("rules")) };
}

/** Loses NATS before the write of that number. */
function lossAt(number: number, comesBack: boolean): Promise<{ book: RuleBook; writer: RuleWriter }> {
	return writerOver(async (publish, at, ...sent) => {
		if (at === number) await cluster.server.kill();
		return await publish(...sent);
	}, comesBack);
}

test("an apply that NATS left midway goes on when it is back", async () => {
	const { writer } = await lossAt(300, true);
	const { revisions } = await writer.edit(() => edit(manyRules(400)));
	expect(revisions.size).toBe(400);
	expect(await storedNames(cluster)).toHaveLength(400);
}, 60_000);

test("an apply that no longer holds when NATS is back is undone", async () => {
	const { book, writer } = await lossAt(300, true);
	const refused = () => {
		if (book.entries.size > 0) throw new Error("changed its mind");
		return edit(manyRules(400));
	};
	await expect(writer.edit(refused)).rejects.toThrow(/^changed its mind$/);
	expect(await storedNames(cluster)).toEqual([]);
}, 60_000);

test("of a write that NATS left nobody knows whether it stands", async () => {
	const { writer } = await lossAt(1, false);
	await expect(writer.edit(() => edit([exampleRule("video")]))).rejects.toThrow(
		/^the storage does not answer, 0 of 1 write is known to be stored: look with rule list, then try again$/,
	);
}, 60_000);

test("a write whose answer is lost counts as written when the storage holds it", async () => {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	let lost = false;
	const log = ruleLog(cluster, {
		publish: async (subject, payload, options) => {
			const ack = await js.publish(subject, payload, options);
			if (lost) return ack;
			lost = true;
			throw new Error("timeout");
		},
	});
	const book = new RuleBook(api.book.snapshot);
	const once = edit([exampleRule("video")]);
	const result = await new RuleWriter(book, log, quietLogger().facility("rules")).edit(() => once);
	expect(result.revisions.get("video")).toBe(1n);
	expect(book.entries.get("video")?.revision).toBe(1n);
});

test("what expects a revision, or that there is a rule, is not undone when it was stored and its answer lost", async () => {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	const log = ruleLog(cluster, {
		publish: async (...sent) => {
			await js.publish(...sent);
			throw new Error("timeout");
		},
	});
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	const rules = new Rules(api.book, writer, api.hosts);
	const put = (group: string, expectedRevision: bigint) =>
		rules.put(create(PutRuleRequestSchema, { rule: exampleRule("video", group), expectedRevision }));
	expect(await put("239.1.1.1", 0n)).toMatchObject({ changed: true, rule: { revision: 1n } });
	expect(await put("239.1.1.2", 1n)).toMatchObject({ changed: true, rule: { revision: 2n } });
	const remove = create(RemoveRuleRequestSchema, { name: "video", expectedRevision: 2n });
	expect(await rules.remove(remove)).toMatchObject({ revision: 3n });
	expect(await storedNames(cluster)).toEqual([]);
}, 60_000);

test("a storage that refuses every write is said to be the reason, not others", async () => {
	const api = await cluster.startApi();
	const log = ruleLog(cluster, {
		publish: () => Promise.reject(new Error("insufficient storage resources available")),
	});
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	await expect(writer.edit(() => edit([exampleRule("video")]))).rejects.toThrow(
		/^the storage refuses writes \(insufficient storage resources available\): look at disk space/,
	);
}, 60_000);

/** By a timer of this loop: what holds that up holds up the writer's own as well. */
const CLIENT_LIMIT_MS = 5_000;

/** What 2.15 does after a write that the disk refused. */
const unanswered = () => new Promise<never>(() => {});

test("a storage that answers no write and stores none is said to refuse them, in time, an undo's too", async () => {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	let left = 30;
	const log = ruleLog(cluster, { publish: (...sent) => (left-- > 0 ? js.publish(...sent) : unanswered()) });
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	const refused = refusal(writer.edit(() => edit(manyRules(40))));
	expect(await settlesWithin(refused, CLIENT_LIMIT_MS)).toBe(true);
	expect((await refused).message).toMatch(
		/^the storage refuses writes \(no answer\): look at disk space .*; could not be put back: .* and 25 more$/,
	);
	expect(await storedNames(cluster)).toHaveLength(30);
}, 60_000);

test("an undo that the storage stops answering ends", async () => {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	const foreign = create(StoredRuleSchema, { rule: exampleRule("foreign", "239.1.0.99"), uid: "foreign" });
	let count = 0;
	const log = ruleLog(cluster, {
		publish: async (...sent) => {
			count += 1;
			if (count === 60)
				await js.publish(kvSubject(buckets.rules, "foreign"), toBinary(StoredRuleSchema, foreign));
			return await (count > 110 ? unanswered() : js.publish(...sent));
		},
	});
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	await expect(writer.edit(() => edit(manyRules(100)))).rejects.toThrow(
		/ is taken by rule foreign: .*; could not be put back: /,
	);
}, 60_000);

test("an undo that NATS leaves midway goes on when it is back, and counts what was stored without an answer", async () => {
	const { writer } = await writerOver(async (publish, at, ...sent) => {
		if (at === 60) await foreignWrite(cluster, exampleRule("foreign", "239.1.0.99"));
		const answer = await publish(...sent);
		if (at !== 130) return answer;
		await cluster.server.kill();
		return await unanswered();
	});
	await expect(writer.edit(() => edit(manyRules(100)))).rejects.toThrow(/ is taken by rule foreign: [^;]*$/);
	expect(await storedNames(cluster)).toEqual(["foreign"]);
}, 60_000);

test("a wrong sequence that nobody made wrong is the storage's, not others'", async () => {
	const api = await cluster.startApi();
	const wrong = { code: 400, err_code: 10_071, description: "wrong last sequence: 7" };
	const log = ruleLog(cluster, { publish: () => Promise.reject(new JetStreamApiError(wrong)) });
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	await expect(writer.edit(() => edit([exampleRule("video")]))).rejects.toThrow(
		/^the storage refuses writes \(wrong last sequence: 7\): look at disk space/,
	);
}, 60_000);

test("a bucket that somebody purged and refilled does not stop writing", async () => {
	const api = await cluster.startApi();
	await putAt(api, exampleRule("video"));
	const jsm = await jetstreamManager(cluster.nc);
	await jsm.streams.deleteMessage("KV_sluice_rules", 1);
	await jsm.streams.purge("KV_sluice_rules");
	expect(await putAt(api, exampleRule("other", "239.9.9.9"))).toBe("accepted");
});

test("writing is refused while NATS is away and works within seconds of its return", async () => {
	const api = await cluster.startApi();
	expect(await putAt(api, exampleRule("video"))).toBe("accepted");
	await cluster.server.kill();
	await expectEventually(() => putAt(api, exampleRule("other", "239.9.9.9")), /NATS is away/);
	await expect(api.rules.get("video")).rejects.toThrow("the connection to NATS is away, or");
	await cluster.server.start();
	await expectEventually(() => putAt(api, exampleRule("other", "239.9.9.9")), /^accepted$/);
	expect((await api.rules.get("video")).revision).toBe(1n);
	const countersAgain = async () => {
		const jsm = await jetstreamManager(cluster.nc, { checkAPI: false, timeout: 500 });
		return (await jsm.streams.info("sluice_counters")).config.name;
	};
	await expectEventually(countersAgain, /sluice_counters/);
}, 60_000);

async function expectEventually(attempt: () => Promise<string>, wanted: RegExp): Promise<void> {
	const deadline = Date.now() + 30_000;
	let result = "";
	while (Date.now() < deadline) {
		result = await attempt().catch((thrown: Error) => thrown.message);
		if (wanted.test(result)) return;
		await Bun.sleep(20);
	}
	expect(result).toMatch(wanted);
}
