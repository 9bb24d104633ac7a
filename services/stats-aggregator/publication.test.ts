import { expect, test } from "bun:test";
import type { CataloguedRule } from "./catalogue.ts";
import { EVERYTHING } from "./listeners.ts";
import { Publication } from "./publication.ts";
import { rule } from "./testing/counters.ts";

const rules = Array.from({ length: 2_000 }, (_, k) => rule(`rule-${k}`, k + 1));
const all = async () => EVERYTHING;

test("every rule is published in every run, whether it counts or not", async () => {
	const names: string[] = [];
	const publication = new Publication(all, ({ name }) => names.push(name) > 0);
	for (const second of [1, 2, 3]) expect(await publication.run(rules, second * 1_000)).toBe(2_000);
	const once = rules.map(({ name }) => name);
	expect(names).toEqual([...once, ...once, ...once]);
});

test("who listens is asked in every run, and where nobody does no rule is looked at", async () => {
	let any = false;
	const looked: CataloguedRule[] = [];
	const publication = new Publication(
		async () => ({ any, has: () => any }),
		(each) => looked.push(each) > 0,
	);
	expect(await publication.run(rules, 1_000)).toBe(0);
	expect(looked).toEqual([]);
	any = true;
	expect(await publication.run(rules, 2_000)).toBe(2_000);
});

test("many rules leave room for what else there is to do, and two runs never mix", async () => {
	const published: CataloguedRule[] = [];
	const publication = new Publication(all, (each) => published.push(each) > 0);
	let between: number | undefined;
	setImmediate(() => {
		between = published.length;
	});
	const first = publication.run(rules, 1_000);
	expect(await publication.run(rules, 2_000)).toBe(0);
	expect(await first).toBe(2_000);
	expect(between).toBeLessThan(2_000);
});

test("a run that fails does not stop those after it", async () => {
	let closed = true;
	const publication = new Publication(all, () => {
		if (closed) throw new Error("closed");
		return true;
	});
	await expect(publication.run(rules, 1_000)).rejects.toThrow("closed");
	closed = false;
	expect(await publication.run(rules, 2_000)).toBe(2_000);
});

test("figures of one rule that cannot be sent keep no other's away, and are told by its name", async () => {
	const names: string[] = [];
	const publication = new Publication(all, ({ name }) => {
		if (name === "rule-7") throw new Error("max_payload size exceeded");
		return names.push(name) > 0;
	});
	await expect(publication.run(rules, 1_000)).rejects.toThrow(/^rule rule-7: max_payload size exceeded$/);
	expect(names).toHaveLength(1_999);
});
