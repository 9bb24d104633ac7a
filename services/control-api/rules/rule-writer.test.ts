import { afterEach, beforeEach, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { jetstream } from "@nats-io/jetstream";
import { call } from "@sluice/lib/client";
import {
	PutRuleRequestSchema,
	PutRuleResponseSchema,
	RuleSchema,
	StoredRuleSchema,
} from "@sluice/proto/gen/rule";
import { buckets, kvSubject, requests } from "@sluice/proto/subjects";
import { exampleRule, manyRules, quietLogger, type RuleInit, TestCluster } from "../testing/cluster.ts";
import { edit, foreignWrite, putAt, ruleLog, storedNames } from "../testing/rule-writing.ts";
import { RuleWriter } from "./rule-writer.ts";

let cluster: TestCluster;
beforeEach(async () => {
	cluster = await TestCluster.start();
});
afterEach(async () => {
	await cluster.stop();
});

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
	expect(await storedNames(cluster)).toHaveLength(50);
}, 60_000);

test("many clients at two control-apis at once lose no write", async () => {
	await cluster.startApi();
	await cluster.startApi();
	const rules = manyRules(300);
	await Promise.all(
		rules.map((rule) =>
			call(cluster.nc, requests.rulePut, PutRuleRequestSchema, PutRuleResponseSchema, { rule }, 20_000),
		),
	);
	expect(await storedNames(cluster)).toHaveLength(300);
}, 60_000);

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
	const names = await storedNames(cluster);
	expect(names.length).toBe(400 * accepted.length);
	expect(new Set(names.map((name) => name[0])).size).toBe(accepted.length);
}, 60_000);

/** A writer whose log lets somebody else write before the k-th append of a chain. */
async function interruptedWriter(foreign: RuleInit, at: number) {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	const value = toBinary(StoredRuleSchema, create(StoredRuleSchema, { rule: foreign, uid: "foreign" }));
	let count = 0;
	let done: Promise<unknown> | undefined;
	const log = ruleLog(cluster, {
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

test("an apply that a harmless write met midway is finished", async () => {
	const { writer } = await interruptedWriter(exampleRule("foreign", "239.250.0.1"), 40);
	const rules = manyRules(100);
	const once = edit(rules);
	const result = await writer.edit(() => once);
	expect(result.changes).toHaveLength(100);
	expect(result.revisions.size).toBe(100);
	expect(await storedNames(cluster)).toEqual(["foreign", ...rules.map((rule) => rule.name ?? "")]);
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
	expect(await storedNames(cluster)).toEqual(["foreign", "gone", "rule-00000"]);
	expect(await uidsNow()).toEqual(uids);
	expect((await api.rules.get("rule-00000")).rule?.input?.group).toBe("239.3.0.2");
});

/** A writer at whose k-th write, or first of a name, something happens; nothing more is sent before it is done. */
async function watchedWriter(events: Record<number | string, () => unknown>) {
	const api = await cluster.startApi();
	const js = jetstream(cluster.nc);
	let count = 0;
	let last: unknown;
	const log = ruleLog(cluster, {
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
	expect(await storedNames(cluster)).toEqual(["other", ...rules.map((rule) => rule.name ?? "")]);
});

test("what passed an apply is neither pruned nor undone by it, when others meet it too", async () => {
	const rules = manyRules(1_000);
	const order: string[] = [];
	const { api, writer } = await watchedWriter({
		300: () => startPut(writer, exampleRule("passing", "239.250.0.1"), order),
		900: () => foreignWrite(cluster, exampleRule("foreign", "239.250.0.2")),
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
	expect(await storedNames(cluster)).toEqual(["passing", ...names]);
});

test("what others write while an apply lets an edit pass is checked like what they write amid it", async () => {
	const order: string[] = [];
	const { writer } = await watchedWriter({
		300: () => startPut(writer, exampleRule("passing", "239.250.0.1"), order),
		// Takes what the last rule of the apply wants.
		passing: () => foreignWrite(cluster, exampleRule("foreign", "239.1.2.187")),
	});
	await expect(writer.edit(() => edit(manyRules(700)))).rejects.toThrow("is taken by rule foreign");
	expect(order).toEqual(["passing"]);
	expect(await storedNames(cluster)).toEqual(["foreign", "passing"]);
});

test("an apply that is undone leaves what passed it", async () => {
	const rules = manyRules(700);
	const order: string[] = [];
	const { writer } = await watchedWriter({
		300: () => startPut(writer, exampleRule("passing", "239.250.0.1"), order),
		600: () => foreignWrite(cluster, exampleRule("foreign", "239.1.2.187")),
	});
	await expect(writer.edit(() => edit(rules))).rejects.toThrow("is taken by rule foreign");
	expect(order).toEqual(["passing"]);
	expect(await storedNames(cluster)).toEqual(["foreign", "passing"]);
});
