import { expect, test } from "bun:test";
import { highestPassing, type Probe } from "./bisection.ts";

const RANGE = { startPps: 100_000, leastPps: 10_000, mostPps: 3_200_000, tolerance: 0.05 };

function relayOf(capacityPps: number, generatorPps = Number.POSITIVE_INFINITY) {
	const asked: number[] = [];
	const probe = async (ratePps: number): Promise<Probe> => {
		asked.push(ratePps);
		const offeredPps = Math.min(ratePps, generatorPps);
		if (offeredPps > capacityPps) return { verdict: "fails", offeredPps };
		return { verdict: offeredPps < ratePps ? "generator-bound" : "passes", offeredPps };
	};
	return { asked, probe };
}

test("the rate found passes, and one at most the tolerance above it does not", async () => {
	for (const capacity of [12_345, 99_999, 100_000, 134_000, 1_500_000]) {
		const { probe } = relayOf(capacity);
		const { pps, boundBy } = await highestPassing(RANGE, probe);
		expect(boundBy).toBe("relay");
		expect(pps).toBeLessThanOrEqual(capacity);
		expect(pps * 1.05).toBeGreaterThan(capacity * 0.99);
	}
});

test("a search takes few probes", async () => {
	const { asked, probe } = relayOf(777_000);
	await highestPassing(RANGE, probe);
	expect(asked.length).toBeLessThanOrEqual(10);
	expect(new Set(asked).size).toBe(asked.length);
});

test("a generator that does not get there ends the search, with what it reached", async () => {
	const { asked, probe } = relayOf(5_000_000, 350_000);
	expect(await highestPassing(RANGE, probe)).toEqual({ pps: 350_000, boundBy: "generator" });
	expect(asked).toEqual([100_000, 200_000, 400_000]);
});

test("nothing passes: zero; everything passes: the end of the range", async () => {
	expect(await highestPassing(RANGE, relayOf(9_000).probe)).toEqual({ pps: 0, boundBy: "relay" });
	expect(await highestPassing(RANGE, relayOf(1e9).probe)).toEqual({ pps: 3_200_000, boundBy: "range" });
});
