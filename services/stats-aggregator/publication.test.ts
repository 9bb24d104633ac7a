import { expect, test } from "bun:test";
import type { CataloguedRule } from "./catalogue.ts";
import { Publication } from "./publication.ts";
import { rule } from "./testing/counters.ts";

const rules = Array.from({ length: 2_000 }, (_, k) => rule(`rule-${k}`, k + 1));

test("every rule is published in every run, whether it counts or not", async () => {
	const names: string[] = [];
	const publication = new Publication(({ name }) => names.push(name));
	for (const second of [1, 2, 3]) expect(await publication.run(rules, second * 1_000)).toBe(2_000);
	const once = rules.map(({ name }) => name);
	expect(names).toEqual([...once, ...once, ...once]);
});

test("many rules leave room for what else there is to do, and two runs never mix", async () => {
	const published: CataloguedRule[] = [];
	const publication = new Publication((each) => published.push(each));
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
	const publication = new Publication(() => {
		if (closed) throw new Error("closed");
	});
	await expect(publication.run(rules, 1_000)).rejects.toThrow("closed");
	closed = false;
	expect(await publication.run(rules, 2_000)).toBe(2_000);
});
