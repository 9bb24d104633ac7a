import { describe, expect, test } from "bun:test";
import { membershipKey } from "./keys.ts";
import { ip, rule, World } from "./testing/world.ts";

describe("memberships", () => {
	const joins = (lines: readonly string[]) => lines.filter((line) => /^(re)?join|^leave/.test(line));

	test("single sources are joined as (S,G)", () => {
		const { text } = new World().settle(rule("a", { sources: ["10.0.2.8", "10.0.2.7"] }));
		expect(joins(text)).toEqual(["join #2 (10.0.2.7,239.1.1.1)", "join #2 (10.0.2.8,239.1.1.1)"]);
	});

	test("a range is joined as (*,G)", () => {
		expect(joins(new World().settle(rule("a", { sources: ["10.0.2.0/24"] })).text)).toEqual([
			"join #2 (*,239.1.1.1)",
		]);
	});

	test("more sources than the kernel allows on a socket are joined as (*,G)", () => {
		const sources = Array.from({ length: 11 }, (_, index) => `10.0.2.${index + 1}`);
		expect(joins(new World().settle(rule("a", { sources })).text)).toEqual(["join #2 (*,239.1.1.1)"]);
		expect(joins(new World().settle(rule("a", { sources: sources.slice(0, 10) })).text)).toHaveLength(10);
	});

	test("the sources of all rules of a group are joined together", () => {
		const world = new World();
		const a = rule("a", { sources: ["10.0.2.7"] });
		const b = rule("b", { port: 5002, sources: ["10.0.2.8"] });
		expect(joins(world.settle(a, b).text)).toHaveLength(2);
		expect(joins(world.settle(a).text)).toEqual(["leave #2 (10.0.2.8,239.1.1.1)"]);
	});

	test("to any source: the new membership is joined before the old ones are left", () => {
		const world = new World();
		world.settle(rule("a", { sources: ["10.0.2.7", "10.0.2.8"] }));
		expect(world.settle(rule("a")).text).toEqual([
			"table uid-a",
			"join #2 (*,239.1.1.1)",
			"leave #2 (10.0.2.8,239.1.1.1)",
			"leave #2 (10.0.2.7,239.1.1.1)",
		]);
	});

	test("to single sources: the new memberships are joined before the old one is left", () => {
		const world = new World();
		world.settle(rule("a"));
		expect(joins(world.settle(rule("a", { sources: ["10.0.2.7"] })).text)).toEqual([
			"join #2 (10.0.2.7,239.1.1.1)",
			"leave #2 (*,239.1.1.1)",
		]);
	});

	test("when the new mode is refused the old membership stays", () => {
		const world = new World();
		world.settle(rule("a"));
		const key = membershipKey(2, ip("239.1.1.1"), ip("10.0.2.7"));
		world.refuse.set(key, "join: refused");
		const { rules } = world.settle(rule("a", { sources: ["10.0.2.7"] }));
		expect(rules[0]).toEqual({ name: "a", state: "FAILED", reason: "join: refused" });
		expect([...world.open.memberships.keys()]).toEqual([membershipKey(2, ip("239.1.1.1"), 0)]);
	});

	test("one group on two interfaces is joined on both, and each has its own life", () => {
		const world = new World();
		const there = rule("a", { out: ["r1:239.1.1.1:5001"] });
		const back = rule("b", { in: "r1", out: ["r0:239.1.1.1:5001"] });
		expect(joins(world.settle(there, back).text)).toEqual(["join #2 (*,239.1.1.1)", "join #3 (*,239.1.1.1)"]);
		expect(joins(world.settle(there).text)).toEqual(["leave #3 (*,239.1.1.1)"]);
	});
});
