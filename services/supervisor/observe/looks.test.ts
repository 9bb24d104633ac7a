import { expect, test } from "bun:test";
import { Looks } from "./looks.ts";

const COST_MS = 10;

test("whoever asks first gets a look at once, and all who ask while it rests one look together, four times as long after it", async () => {
	const looks: { readonly askedBefore: number; readonly endedMs: number }[] = [];
	let asked = 0;
	let next = Promise.withResolvers<void>();
	const flood = new Looks(() => {
		const askedBefore = asked;
		Bun.sleepSync(COST_MS);
		looks.push({ askedBefore, endedMs: performance.now() });
		next.resolve();
	});
	const ask = () => {
		asked += 1;
		flood.ask();
	};
	ask();
	expect(looks).toHaveLength(1);
	next = Promise.withResolvers();
	for (let k = 0; k < 100; k += 1) ask();
	expect(looks).toHaveLength(1);
	await next.promise;
	const [first, second, ...others] = looks;
	expect([first?.askedBefore, second?.askedBefore, others]).toEqual([1, 101, []]);
	// Its own cost is behind the rest.
	expect((second?.endedMs ?? 0) - (first?.endedMs ?? 0)).toBeGreaterThan(4 * COST_MS);
	flood.stop();
});
