import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type Rule, RuleSchema } from "@sluice/proto/gen/rule";
import { limits } from "./limits.ts";
import { RuleIndex } from "./rule-index.ts";
import { findSharedOutputs } from "./shared-outputs.ts";

/** From a group of its own to the given interfaces, at one address and port. */
function rule(name: string, to: string, more: Partial<Pick<Rule, "hosts" | "hostLabels">> = {}): Rule {
	return create(RuleSchema, {
		name,
		input: { interface: "r0", group: "239.1.1.1", port: 5001 },
		outputs: to.split(",").map((each) => ({ interface: each, address: "239.10.1.1", port: 6001 })),
		...more,
	});
}

function shared(rules: readonly Rule[], changed: readonly Rule[] = rules) {
	const index = new RuleIndex();
	for (const each of rules) index.add(each);
	return findSharedOutputs(changed, index.byOutput).map(({ place, names }) => [place, ...names]);
}

test("rules that send to one interface, address and port are told, each place once", () => {
	const rules = [rule("b", "r1,r2"), rule("a", "r2,r3"), rule("c", "r4"), rule("d", "r2")];
	expect(shared(rules)).toEqual([["r2:239.10.1.1:6001", "a", "b", "d"]]);
});

test("only places of a changed rule are told", () => {
	const old = [rule("a", "r1"), rule("b", "r1")];
	const added = rule("c", "r2");
	expect(shared([...old, added], [added])).toEqual([]);
	const third = rule("d", "r1", { hosts: ["relay-a"] });
	expect(shared([...old, third], [third])).toEqual([["r1:239.10.1.1:6001", "a", "b", "d"]]);
});

test("rules that never run on one host share nothing", () => {
	const on = (name: string, ...hosts: string[]) => rule(name, "r1", { hosts });
	const at = (name: string, site: string) => rule(name, "r1", { hostLabels: { site } });
	expect(shared([on("a", "relay-a", "relay-c"), on("b", "relay-b")])).toEqual([]);
	expect(shared([at("a", "north"), at("b", "south")])).toEqual([]);
	expect(shared([on("a", "relay-a", "relay-c"), on("b", "relay-c")])).toHaveLength(1);
	expect(shared([at("a", "north"), at("b", "north")])).toHaveLength(1);
	expect(shared([on("a", "relay-a"), at("b", "south")])).toHaveLength(1);
	expect(shared([on("a", "relay-a"), on("b", "all")])).toHaveLength(1);
});

/** The same, and how many rules were looked at. */
function counted(rules: readonly Rule[], changed: readonly Rule[]) {
	const index = new RuleIndex();
	for (const each of rules) index.add(each);
	let looked = 0;
	function* at(place: string) {
		for (const each of index.byOutput.at(place)) {
			looked += 1;
			yield each;
		}
	}
	return { found: findSharedOutputs(changed, { at }), looked: () => looked };
}

test("of many rules to one place some are named, and the rest costs nothing", () => {
	const rules = Array.from({ length: 20_000 }, (_, k) => rule(`r-${10_000 + k}`, "r1"));
	const one = counted(rules, rules.slice(19_999));
	expect(one.found).toMatchObject([{ names: { length: limits.namesPerWarning }, more: true }]);
	expect(one.looked()).toBeLessThan(2 * limits.namesPerWarning);
	const all = counted(rules, rules);
	expect(all.found).toHaveLength(1);
	expect(all.looked()).toBeLessThan(2 * rules.length);
});

test("20,000 rules to one place, each on a host of its own: no more pairs are compared than the limit", () => {
	const rules = Array.from({ length: 20_000 }, (_, k) => rule(`r-${k}`, "r1", { hosts: [`h-${k}`] }));
	const { found, looked } = counted(rules, rules);
	expect([found, looked()]).toEqual([[], limits.comparedOutputs + 1]);
});

test("rules that go leave the others at their place", () => {
	const index = new RuleIndex();
	const [a, b, c] = [rule("a", "r1"), rule("b", "r1"), rule("c", "r1")];
	const names = () => Array.from(index.byOutput.at("r1:239.10.1.1:6001"), ({ name }) => name);
	for (const each of [a, b, c]) index.add(each);
	index.remove(a);
	expect(names()).toEqual(["b", "c"]);
	index.remove(c);
	expect(names()).toEqual(["b"]);
	index.remove(a);
	index.add(b);
	expect(names()).toEqual(["b"]);
	index.remove(b);
	expect(names()).toEqual([]);
	index.add(c);
	expect(names()).toEqual(["c"]);
});
