import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type Rule, RuleSchema, StoredRuleSchema } from "@sluice/proto/gen/rule";
import { exampleRule, manyRules } from "../testing/cluster.ts";
import { EditUnderWay } from "./edit-under-way.ts";
import { limits } from "./limits.ts";
import { type Edit, planEdit, type StoredEntry } from "./plan.ts";
import { RuleIndex } from "./rule-index.ts";

const rule = (...init: Parameters<typeof exampleRule>): Rule => create(RuleSchema, exampleRule(...init));

function underWay(stored: readonly Rule[], puts: readonly Rule[], removals: readonly string[] = []) {
	const entries = new Map<string, StoredEntry>();
	const index = new RuleIndex();
	for (const one of stored) {
		const value = create(StoredRuleSchema, { rule: one, uid: "u" });
		entries.set(one.name, { value, revision: 1n, writtenUnixMs: 0 });
		index.add(one);
	}
	const edit: Edit = { puts, removals, newUid: () => "u" };
	const long = new EditUnderWay({ entries, byInput: index.byInput });
	long.take(planEdit(entries, index, edit));
	return long;
}

const passes = (long: EditUnderWay, edited: Rule) => long.leavesAlone({ name: edited.name, rule: edited });

test("names of the edit wait, also those that it leaves as they are; others pass", () => {
	const stored = [rule("same", "239.1.1.1"), rule("going", "239.1.1.2"), rule("stranger", "239.1.1.3")];
	const long = underWay(stored, [rule("same", "239.1.1.1"), rule("new", "239.1.1.4")], ["going"]);
	for (const name of ["same", "going", "new"]) {
		expect(long.leavesAlone({ name })).toBe(false);
		expect(passes(long, rule(name, "239.9.9.9"))).toBe(false);
	}
	expect(long.leavesAlone({ name: "stranger" })).toBe(true);
	expect(passes(long, rule("stranger", "239.9.9.9"))).toBe(true);
	expect(passes(long, rule("another", "239.9.9.9"))).toBe(true);
});

test("what the edit takes and what it frees is not to be had before its end", () => {
	const long = underWay(
		[rule("moving", "239.1.1.1"), rule("going", "239.1.1.2")],
		[rule("moving", "239.1.1.3"), rule("new", "239.1.1.4")],
		["going"],
	);
	for (const group of ["239.1.1.1", "239.1.1.2", "239.1.1.3", "239.1.1.4"])
		expect(passes(long, rule("another", group))).toBe(false);
	expect(passes(long, rule("another", "239.1.1.5"))).toBe(true);
});

test("a rule that closes a circle with the edit's waits, to be warned of what is there", () => {
	const leads = (from: string, to: string) =>
		rule(`${from}-${to}`, from, { outputs: [{ interface: "r0", address: to, port: 5001 }] });
	const long = underWay([leads("239.1.1.1", "239.1.1.2")], [leads("239.1.1.2", "239.1.1.3")]);
	expect(passes(long, leads("239.1.1.3", "239.1.1.1"))).toBe(false);
	expect(passes(long, leads("239.1.1.3", "239.1.1.4"))).toBe(true);
});

test("those that pass never make the edit one too many", () => {
	const stored = manyRules(limits.rules - 3).map((init) => create(RuleSchema, init));
	const long = underWay(stored, [rule("new", "239.200.0.1")]);
	for (const name of ["a", "b"]) {
		const passing = rule(name, `239.201.0.${name.charCodeAt(0)}`);
		expect(passes(long, passing)).toBe(true);
		long.notePassing({ name, rule: passing });
	}
	expect(passes(long, rule("c", "239.202.0.1"))).toBe(false);
	expect(passes(long, rule("rule-00000", "239.202.0.1"))).toBe(true);
});
