import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type Rule, RuleSchema } from "@sluice/proto/gen/rule";
import { findCycles } from "./cycles.ts";
import { RuleIndex } from "./rule-index.ts";

/** "r0>r1,r2" in one group and port. */
function rule(name: string, path: string, group = "239.1.1.1"): Rule {
	const [from = "", to = ""] = path.split(">");
	return create(RuleSchema, {
		name,
		input: { interface: from, group, port: 5001 },
		outputs: to.split(",").map((each) => ({ interface: each, address: group, port: 5001 })),
	});
}

function cycles(rules: readonly Rule[], changed: readonly Rule[] = rules) {
	const index = new RuleIndex();
	for (const each of rules) index.add(each);
	return findCycles(changed, index.byInput);
}

test("two-way bridging of one group is a cycle of two", () => {
	expect(cycles([rule("there", "r0>r1"), rule("back", "r1>r0")])).toEqual([["back", "there"]]);
});

test("a chain, and two groups in opposite directions, are none", () => {
	expect(cycles([rule("a", "r0>r1"), rule("b", "r1>r2"), rule("c", "r2>r3")])).toEqual([]);
	expect(cycles([rule("a", "r0>r1"), rule("b", "r1>r0", "239.1.1.2")])).toEqual([]);
});

test("a circle of three is found through any output; bystanders are not named", () => {
	const rules = [
		rule("a", "r0>r7,r1"),
		rule("b", "r1>r2"),
		rule("c", "r2>r8,r0"),
		rule("in", "r9>r0"),
		rule("out", "r7>r6"),
	];
	expect(cycles(rules)).toEqual([["a", "b", "c"]]);
});

test("only cycles that a changed rule is part of are told", () => {
	const old = [rule("there", "r0>r1"), rule("back", "r1>r0")];
	const leadsThere = rule("leads", "r5>r0");
	expect(cycles([...old, leadsThere], [leadsThere])).toEqual([]);
	const closes = rule("closes", "r1>r5", "239.1.1.1");
	expect(cycles([...old, leadsThere, closes], [closes])).toEqual([["back", "closes", "leads", "there"]]);
});

test("a VLAN is another place than the untagged network of its interface", () => {
	const tagged = rule("back", "r1>r0");
	if (tagged.input !== undefined) tagged.input.vlan = 7;
	expect(cycles([rule("there", "r0>r1"), tagged])).toEqual([]);
});

test("10,000 rules in one circle are walked without recursion, fast", () => {
	const rules = Array.from({ length: 10_000 }, (_, k) => rule(`r-${k}`, `i${k}>i${(k + 1) % 10_000}`));
	const start = performance.now();
	expect(cycles(rules)[0]).toHaveLength(10_000);
	expect(performance.now() - start).toBeLessThan(2_000);
});
