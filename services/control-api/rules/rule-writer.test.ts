import { afterEach, beforeEach, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { JetStreamApiError, type JetStreamClient, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { call } from "@sluice/lib/client";
import { followBucket } from "@sluice/lib/kv-snapshot";
import {
	PutRuleRequestSchema,
	PutRuleResponseSchema,
	RuleSchema,
	StoredRuleSchema,
} from "@sluice/proto/gen/rule";
import { buckets, kvSubject, requests } from "@sluice/proto/subjects";
import type { RunningControlApi } from "../control-api.ts";
import { ConnectionWatch } from "../nats/connection-watch.ts";
import { RuleLog } from "../nats/rule-log.ts";
import { rulesSequence } from "../nats/storage.ts";
import { exampleRule, manyRules, quietLogger, type RuleInit, TestCluster } from "../testing/cluster.ts";
import type { Edit } from "./plan.ts";
import { RuleBook } from "./rule-book.ts";
import { RuleWriter } from "./rule-writer.ts";

let cluster: TestCluster;
beforeEach(async () => {
	cluster = await TestCluster.start();
});
afterEach(async () => {
	await cluster.stop();
});

async function storedNames(): Promise<string[]> {
	const snapshot = await followBucket(cluster.nc, "sluice_rules", StoredRuleSchema);
	snapshot.stop();
	return [...snapshot.entries.keys()].sort();
}

const ruleLog = (js: Pick<JetStreamClient, "publish">) =>
	new RuleLog(js, { onLost: () => () => {} }, () => rulesSequence(cluster.nc));

const putAt = (api: RunningControlApi, rule: RuleInit) =>
	api.rules.put(create(PutRuleRequestSchema, { rule })).then(
		() => "accepted",
		(thrown: Error) => thrown.message,
	);

test("of two rules on one key, put at two control-apis at once, one is accepted", async () => {
	const [a, b] = [await cluster.startApi(), await cluster.startApi()];
	for (let round = 0; round < 50; round += 1) {
		const group = `239.2.0.${round}`;
		const results = await Promise.all([
			putAt(a, exampleRule(`a-${round}`, group)),
			putAt(b, exampleRule(`b-${round}`, group)),
		]);
		expect(results.filter((result) => result === "accepted")).toHaveLength(1);
		expect(results.find((result) => result !== "accepted")).toMatch(/is taken by rule [ab]-/);
	}
	expect(await storedNames()).toHaveLength(50);
}, 30_000);

test("many clients at two control-apis at once lose no write", async () => {
	await cluster.startApi();
	await cluster.startApi();
	const rules = manyRules(300);
	await Promise.all(
		rules.map((rule) =>
			call(cluster.nc, requests.rulePut, PutRuleRequestSchema, PutRuleResponseSchema, { rule }, 20_000),
		),
	);
	expect(await storedNames()).toHaveLength(300);
}, 30_000);

test("two applies at two control-apis at once that exclude each other: one is written whole, the other not at all", async () => {
	const [a, b] = [await cluster.startApi(), await cluster.startApi()];
	const file = (prefix: string) =>
		manyRules(400, prefix).map((rule) => create(RuleSchema, { ...rule, name: `${prefix}-${rule.name}` }));
	const both = await Promise.allSettled([
		a.rules.apply({ rules: file("a"), prune: false, dryRun: false }),
		b.rules.apply({ rules: file("b"), prune: false, dryRun: false }),
	]);
	const accepted = both.filter((each) => each.status === "fulfilled");
	expect(accepted.length).toBeLessThanOrEqual(1);
	const names = await storedNames();
	expect(names.length).toBe(400 * accepted.length);
	expect(new Set(names.map((name) => name[0])).size).toBe(accepted.length);
}, 30_000);

/** A writer whose log lets somebody else write before the k-th append of a chain. */
async function interruptedWriter(foreign: RuleInit, at: number) {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	const value = toBinary(StoredRuleSchema, create(StoredRuleSchema, { rule: foreign, uid: "foreign" }));
	let count = 0;
	let done: Promise<unknown> | undefined;
	const log = ruleLog({
		publish: async (subject, payload, options) => {
			count += 1;
			if (count >= at) {
				done ??= js.publish(kvSubject(buckets.rules, foreign.name ?? ""), value);
				await done;
			}
			return await js.publish(subject, payload, options);
		},
	});
	return { api, writer: new RuleWriter(api.book, log, quietLogger().facility("rules")) };
}

const edit = (rules: readonly RuleInit[], removals: readonly string[] = []): Edit => ({
	puts: rules.map((rule) => create(RuleSchema, rule)),
	removals,
	newUid: (name) => `uid-${name}`,
});

test("an apply that a harmless write met midway is finished", async () => {
	const { writer } = await interruptedWriter(exampleRule("foreign", "239.250.0.1"), 40);
	const rules = manyRules(100);
	const once = edit(rules);
	const result = await writer.edit(() => once);
	expect(result.changes).toHaveLength(100);
	expect(result.revisions.size).toBe(100);
	expect(await storedNames()).toEqual(["foreign", ...rules.map((rule) => rule.name ?? "")]);
});

test("an apply that a conflicting write met midway is undone, removals and changes too", async () => {
	const rules = manyRules(100);
	// Takes what the last rule of the apply wants.
	const { api, writer } = await interruptedWriter(exampleRule("foreign", "239.1.0.99"), 60);
	const before = [exampleRule("gone", "239.3.0.1"), exampleRule("rule-00000", "239.3.0.2")];
	for (const rule of before) await putAt(api, rule);
	const uidsNow = async () => [(await api.rules.get("gone")).uid, (await api.rules.get("rule-00000")).uid];
	const uids = await uidsNow();
	const whole = edit(rules, ["gone"]);
	await expect(writer.edit(() => whole)).rejects.toThrow("is taken by rule foreign");
	expect(await storedNames()).toEqual(["foreign", "gone", "rule-00000"]);
	expect(await uidsNow()).toEqual(uids);
	expect((await api.rules.get("rule-00000")).rule?.input?.group).toBe("239.3.0.2");
});

/** A writer at whose k-th write, or first of a name, something happens; nothing more is sent before it is done. */
async function watchedWriter(events: Record<number | string, () => unknown>) {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	let count = 0;
	let last: unknown;
	const log = ruleLog({
		publish: async (subject, payload, options) => {
			count += 1;
			const name = subject.split(".").at(-1) ?? "";
			for (const key of [count, name]) {
				const happens = events[key];
				delete events[key];
				last = happens?.() ?? last;
			}
			await last;
			return await js.publish(subject, payload, options);
		},
	});
	return { api, js, writer: new RuleWriter(api.book, log, quietLogger().facility("rules")) };
}

const foreignWrite = (rule: RuleInit) => {
	const value = toBinary(StoredRuleSchema, create(StoredRuleSchema, { rule, uid: "foreign" }));
	return jetstream(cluster.nc).publish(kvSubject(buckets.rules, rule.name ?? ""), value);
};

/** Starts the edit of one rule as a put does; keeps no append waiting. */
const startPut = (writer: RuleWriter, rule: RuleInit, order: string[]) => {
	const full = create(RuleSchema, rule);
	void writer
		.edit(() => edit([rule]), { name: full.name, rule: full })
		.then(
			() => order.push(full.name),
			(thrown: Error) => order.push(thrown.message),
		);
};

test("edits of other rules are written amid a large apply, those of its own rules after it", async () => {
	const order: string[] = [];
	const rules = manyRules(1_500);
	const { writer } = await watchedWriter({
		600: () => {
			startPut(writer, exampleRule("rule-01400", "239.250.0.1"), order);
			startPut(writer, exampleRule("taken", "239.1.5.1"), order);
			startPut(writer, exampleRule("other", "239.250.0.2"), order);
		},
	});
	const result = await writer.edit(() => edit(rules));
	order.push("apply");
	await writer.edit(() => edit([]));
	expect(order).toEqual([
		"other",
		"apply",
		"rule-01400",
		expect.stringMatching(/^input: .* is taken by rule rule-01281/),
	]);
	expect([result.changes.length, result.revisions.size]).toEqual([1_500, 1_500]);
	expect(await storedNames()).toEqual(["other", ...rules.map((rule) => rule.name ?? "")]);
});

test("what passed an apply is neither pruned nor undone by it, when others meet it too", async () => {
	const rules = manyRules(1_000);
	const order: string[] = [];
	const { api, writer } = await watchedWriter({
		300: () => startPut(writer, exampleRule("passing", "239.250.0.1"), order),
		900: () => foreignWrite(exampleRule("foreign", "239.250.0.2")),
	});
	const names = new Set(rules.map((rule) => rule.name ?? ""));
	const prune = (passed: ReadonlySet<string>) =>
		edit(
			rules,
			api.book.names.filter((name) => !names.has(name) && !passed.has(name)),
		);
	await writer.edit(prune);
	await writer.edit(() => edit([]));
	expect(order).toEqual(["passing"]);
	expect(await storedNames()).toEqual(["passing", ...names]);
});

test("what others write while an apply lets an edit pass is checked like what they write amid it", async () => {
	const order: string[] = [];
	const { writer } = await watchedWriter({
		300: () => startPut(writer, exampleRule("passing", "239.250.0.1"), order),
		// Takes what the last rule of the apply wants.
		passing: () => foreignWrite(exampleRule("foreign", "239.1.2.187")),
	});
	await expect(writer.edit(() => edit(manyRules(700)))).rejects.toThrow("is taken by rule foreign");
	expect(order).toEqual(["passing"]);
	expect(await storedNames()).toEqual(["foreign", "passing"]);
});

test("an apply that is undone leaves what passed it", async () => {
	const rules = manyRules(700);
	const order: string[] = [];
	const { writer } = await watchedWriter({
		300: () => startPut(writer, exampleRule("passing", "239.250.0.1"), order),
		600: () => foreignWrite(exampleRule("foreign", "239.1.2.187")),
	});
	await expect(writer.edit(() => edit(rules))).rejects.toThrow("is taken by rule foreign");
	expect(order).toEqual(["passing"]);
	expect(await storedNames()).toEqual(["foreign", "passing"]);
});

test("an apply that NATS left midway says how far it came, and applying again completes it", async () => {
	const api = await cluster.startApi();
	const nc = await cluster.server.connect();
	const js = jetstream(nc);
	let count = 0;
	const log = new RuleLog(
		{
			publish: async (subject, payload, options) => {
				count += 1;
				if (count === 50) await cluster.server.kill();
				return await js.publish(subject, payload, options);
			},
		},
		new ConnectionWatch(nc),
		() => rulesSequence(nc),
	);
	const rules = manyRules(2_000);
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	const start = performance.now();
	await expect(writer.edit(() => edit(rules))).rejects.toThrow(
		/^the storage does not answer, [0-9]+ of 2000 writes are known/,
	);
	expect(performance.now() - start).toBeLessThan(8_000);
	await cluster.server.start();
	await expectEventually(async () => String(api.current), /true/);
	const files = rules.map((rule) => create(RuleSchema, rule));
	await api.rules.apply({ rules: files, prune: true, dryRun: false });
	expect((await api.rules.apply({ rules: files, prune: true, dryRun: true })).unchanged).toBe(2_000);
}, 30_000);

test("a write whose answer is lost counts as written when the storage holds it", async () => {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	let lost = false;
	const log = ruleLog({
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

test("a storage that refuses every write is said to be the reason, not others", async () => {
	const api = await cluster.startApi();
	const log = ruleLog({
		publish: () => Promise.reject(new Error("insufficient storage resources available")),
	});
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	await expect(writer.edit(() => edit([exampleRule("video")]))).rejects.toThrow(
		/^the storage refuses writes \(insufficient storage resources available\): look at disk space/,
	);
}, 20_000);

/** What 2.15 does after a write that the disk refused. */
const unanswered = () => new Promise<never>(() => {});

test("a storage that answers no write and stores none is said to refuse them, in time, an undo's too", async () => {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	let left = 30;
	const log = ruleLog({ publish: (...sent) => (left-- > 0 ? js.publish(...sent) : unanswered()) });
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	const start = performance.now();
	await expect(writer.edit(() => edit(manyRules(40)))).rejects.toThrow(
		/^the storage refuses writes \(no answer\): look at disk space .*; could not be put back: .* and 25 more$/,
	);
	expect(performance.now() - start).toBeLessThan(4_500);
	expect(await storedNames()).toHaveLength(30);
}, 20_000);

test("an undo that the storage stops answering ends", async () => {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	const foreign = create(StoredRuleSchema, { rule: exampleRule("foreign", "239.1.0.99"), uid: "foreign" });
	let count = 0;
	const log = ruleLog({
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
}, 20_000);

test("an undo that NATS leaves midway goes on when it is back, and counts what was stored without an answer", async () => {
	await cluster.startApi();
	const nc = await cluster.server.connect();
	const book = new RuleBook(await followBucket(nc, "sluice_rules", StoredRuleSchema));
	const js = jetstream(nc);
	let count = 0;
	const log = new RuleLog(
		{
			publish: async (...sent) => {
				count += 1;
				if (count === 60) await foreignWrite(exampleRule("foreign", "239.1.0.99"));
				const answer = await js.publish(...sent);
				if (count !== 130) return answer;
				await cluster.server.kill();
				// Longer than the snapshot is waited for.
				setTimeout(() => void cluster.server.start(), 3_500);
				return await unanswered();
			},
		},
		new ConnectionWatch(nc),
		() => rulesSequence(nc),
	);
	const writer = new RuleWriter(book, log, quietLogger().facility("rules"));
	await expect(writer.edit(() => edit(manyRules(100)))).rejects.toThrow(/ is taken by rule foreign: [^;]*$/);
	expect(await storedNames()).toEqual(["foreign"]);
}, 20_000);

test("a wrong sequence that nobody made wrong is the storage's, not others'", async () => {
	const api = await cluster.startApi();
	const wrong = { code: 400, err_code: 10_071, description: "wrong last sequence: 7" };
	const log = ruleLog({ publish: () => Promise.reject(new JetStreamApiError(wrong)) });
	const writer = new RuleWriter(api.book, log, quietLogger().facility("rules"));
	await expect(writer.edit(() => edit([exampleRule("video")]))).rejects.toThrow(
		/^the storage refuses writes \(wrong last sequence: 7\): look at disk space/,
	);
}, 20_000);

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
}, 30_000);

async function expectEventually(attempt: () => Promise<string>, wanted: RegExp): Promise<void> {
	const deadline = Date.now() + 10_000;
	let result = "";
	while (Date.now() < deadline) {
		result = await attempt().catch((thrown: Error) => thrown.message);
		if (wanted.test(result)) return;
		await Bun.sleep(20);
	}
	expect(result).toMatch(wanted);
}
