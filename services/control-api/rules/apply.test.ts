import { afterEach, beforeEach, expect, test } from "bun:test";
import { ApplyResponse_Action } from "@sluice/proto/gen/rule";
import { exampleRule, manyRules, type RuleInit, refusal, TestCluster } from "../testing/cluster.ts";

let cluster: TestCluster;
beforeEach(async () => {
	cluster = await TestCluster.start();
	await cluster.startApi();
});
afterEach(async () => {
	await cluster.stop();
});

async function names(): Promise<string[]> {
	return (await cluster.list()).rules.map((rule) => rule.name);
}

test("1,000 rules: a dry run writes nothing, the first apply all, the second none", async () => {
	const rules = manyRules(1_000);
	const dry = await cluster.apply({ rules, dryRun: true });
	expect([dry.added, dry.changes.length]).toEqual([1_000, 1_000]);
	expect(await names()).toEqual([]);
	const first = await cluster.apply({ rules });
	expect([first.added, first.changed, first.removed, first.unchanged]).toEqual([1_000, 0, 0, 0]);
	const listed = (await cluster.list()).rules;
	expect(listed.map((rule) => rule.revision)).toEqual(Array.from({ length: 1_000 }, (_, k) => BigInt(k + 1)));
	const second = await cluster.apply({ rules });
	expect([second.added, second.changed, second.removed, second.unchanged]).toEqual([0, 0, 0, 1_000]);
	expect((await cluster.list()).rules).toEqual(listed);
});

test("what a file changes is told per rule and field, in order of names", async () => {
	await cluster.apply({
		rules: [exampleRule("b"), exampleRule("c", "239.1.1.3"), exampleRule("d", "239.1.1.4")],
	});
	const changed: RuleInit = exampleRule("b", "239.1.1.1", {
		outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001, ttl: 32 }],
	});
	const response = await cluster.apply({
		rules: [exampleRule("c", "239.1.1.3"), changed, exampleRule("a", "239.1.1.9")],
		prune: true,
	});
	expect(response.changes.map((change) => [change.name, change.action, change.fields])).toEqual([
		["a", ApplyResponse_Action.ADDED, []],
		["b", ApplyResponse_Action.CHANGED, ["outputs[0].ttl: default -> 32"]],
		["c", ApplyResponse_Action.UNCHANGED, []],
		["d", ApplyResponse_Action.REMOVED, []],
	]);
	expect(response.changes.map((change) => change.revision > 0n)).toEqual([true, true, true, false]);
	expect(await names()).toEqual(["a", "b", "c"]);
});

test("without prune what the file does not name stays", async () => {
	await cluster.apply({ rules: [exampleRule("a")] });
	await cluster.apply({ rules: [exampleRule("b", "239.1.1.2")] });
	expect(await names()).toEqual(["a", "b"]);
});

test("one wrong rule, a duplicate or a conflict: nothing is written and the place is named", async () => {
	await cluster.apply({ rules: [exampleRule("stays")] });
	const cases: [RuleInit[], string, string][] = [
		[[exampleRule("a", "239.1.1.2"), exampleRule("b", "1.2.3")], "invalid", "rules[1] (b): input.group:"],
		[
			[exampleRule("a", "239.1.1.2"), exampleRule("a", "239.1.1.3")],
			"invalid",
			"rules[1] (a): name: the same as rules[0]",
		],
		[
			[exampleRule("a", "239.1.1.2"), exampleRule("b", "239.1.1.2")],
			"conflict",
			"rules[1] (b): input: r0:239.1.1.2:5001 from any source is taken by rule a: change one of the two, or",
		],
		[
			[exampleRule("a", "239.1.1.2"), exampleRule("b")],
			"conflict",
			"rules[1] (b): input: r0:239.1.1.1:5001 from any source is taken by rule stays, which is not named here: " +
				"remove it, as prune does, change one of the two, or",
		],
		[[exampleRule("", "239.1.1.2")], "invalid", "rules[0]: name: missing"],
	];
	for (const [rules, code, reason] of cases) {
		for (const dryRun of [true, false]) {
			const refused = await refusal(cluster.apply({ rules, dryRun }));
			expect(refused.code as string).toBe(code);
			expect(refused.message).toStartWith(reason);
		}
	}
	expect(await names()).toEqual(["stays"]);
});

test("with prune the new rules may take what the pruned ones had, and two rules may swap", async () => {
	await cluster.apply({ rules: [exampleRule("old")] });
	await cluster.apply({ rules: [exampleRule("new"), exampleRule("other", "239.1.1.2")], prune: true });
	expect(await names()).toEqual(["new", "other"]);
	const swapped = await cluster.apply({ rules: [exampleRule("new", "239.1.1.2"), exampleRule("other")] });
	expect(swapped.changed).toBe(2);
});

test("bridging both ways is accepted with a warning that names the rules", async () => {
	const there = exampleRule("there", "239.1.1.1", {
		outputs: [{ interface: "r1", address: "239.1.1.1", port: 5001 }],
	});
	const back: RuleInit = {
		name: "back",
		input: { interface: "r1", group: "239.1.1.1", port: 5001 },
		outputs: [{ interface: "r0", address: "239.1.1.1", port: 5001 }],
	};
	expect((await cluster.put(there)).warnings).toEqual([]);
	const dry = await cluster.apply({ rules: [there, back], dryRun: true });
	expect(dry.warnings).toHaveLength(1);
	expect(dry.warnings[0]).toStartWith("rules back, there lead in a circle");
	expect((await cluster.put(back)).warnings).toEqual(dry.warnings);
});

test("a second rule to one output is accepted with a warning that names both, until one has another", async () => {
	await cluster.put(exampleRule("one"));
	const to = (port: number) => ({ outputs: [{ interface: "r1", address: "239.10.1.1", port }] });
	const two = exampleRule("two", "239.1.1.2", to(6001));
	const dry = await cluster.apply({ rules: [two], dryRun: true });
	expect(dry.warnings).toEqual([
		expect.stringMatching(/^rules one, two send to r1:239\.10\.1\.1:6001: whoever listens there gets/),
	]);
	expect((await cluster.put(two)).warnings).toEqual(dry.warnings);
	expect((await cluster.put(exampleRule("two", "239.1.1.2", to(6002)))).warnings).toEqual([]);
});

test("a file in parts: the first answer says where the others go, the last one is the answer", async () => {
	const rules = manyRules(2_000);
	const part = (k: number) => ({
		uploadId: "u-1",
		part: k,
		parts: 4,
		rules: rules.slice(k * 500, (k + 1) * 500),
	});
	const first = await cluster.apply(part(0));
	expect(first.uploadSubject).toStartWith("sluice.v1.apply.");
	expect(first.changes).toEqual([]);
	await cluster.startApi();
	await cluster.apply(part(1), first.uploadSubject);
	await cluster.apply(part(2), first.uploadSubject);
	expect(await names()).toEqual([]);
	expect((await cluster.apply(part(3), first.uploadSubject)).added).toBe(2_000);
	expect((await refusal(cluster.apply(part(3), first.uploadSubject))).code).toBe("not_found");
});

test("a cluster takes 20,000 rules and not one more", async () => {
	const rules = manyRules(20_001);
	const send = async (count: number) => {
		const parts = 8;
		const size = Math.ceil(count / parts);
		let subject: string | undefined;
		let answer: Awaited<ReturnType<typeof cluster.apply>> | undefined;
		for (let part = 0; part < parts; part += 1) {
			const slice = rules.slice(part * size, Math.min(count, (part + 1) * size));
			answer = await cluster.apply(
				{ uploadId: `u-${count}`, part, parts, rules: slice, dryRun: true },
				subject,
			);
			subject ??= answer.uploadSubject;
		}
		return answer;
	};
	expect((await send(20_000))?.added).toBe(20_000);
	expect((await refusal(send(20_001))).message).toStartWith("rules: more than 20000");
}, 60_000);
