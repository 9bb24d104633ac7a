import { expect, test } from "bun:test";
import { median, percentile } from "./percentiles.ts";

test("a percentile is one of the values, whatever their order", () => {
	const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
	expect(percentile(hundred, 0.5)).toBe(50);
	expect(percentile(hundred, 0.99)).toBe(99);
	expect(percentile(hundred, 0.999)).toBe(100);
	expect(percentile(hundred, 1)).toBe(100);
	expect(percentile([7], 0.001)).toBe(7);
});

test("the median of an even number of values lies between the two in the middle", () => {
	expect(median([3, 1, 2])).toBe(2);
	expect(median([4, 1, 3, 2])).toBe(2.5);
	expect(median([10, 9])).toBe(9.5);
});

test("of nothing there is neither", () => {
	expect(() => percentile([], 0.5)).toThrow();
	expect(() => median([])).toThrow();
});
