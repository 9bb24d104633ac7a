import { expect, test } from "bun:test";
import { rule, World } from "./testing/world.ts";

let reads = 0;

/** The same, with every look at a property counted, whichever part of it that is in. */
function counted<Value extends object>(value: Value): Value {
	return new Proxy(value, {
		get(target, key) {
			reads += 1;
			const found: unknown = Reflect.get(target, key);
			return typeof found === "object" && found !== null ? counted(found) : found;
		},
	});
}

/** How often rules are looked at until so many are open in a new world, and then to find that nothing changed. */
function looks(count: number): { opening: number; again: number } {
	const rules = Array.from({ length: count }, (_, index) => {
		const address = `${(index >> 8) & 255}.${index & 255}`;
		return counted(rule(`rule-${index}`, { group: `239.1.${address}`, out: [`r1:239.2.${address}:6001`] }));
	});
	const world = new World();
	reads = 0;
	world.settle(...rules);
	const opening = reads;
	expect(world.plan(rules).commands).toEqual([]);
	return { opening, again: reads - opening };
}

test("ten times the rules take ten times the work, not a hundred times", () => {
	const few = looks(1_000);
	const many = looks(10_000);
	// A hundred times would be what it grows to when each rule is looked for among all.
	expect(many.opening).toBeLessThan(15 * few.opening);
	expect(many.again).toBeLessThan(15 * few.again);
	expect(many.again).toBeLessThanOrEqual(many.opening);
});
