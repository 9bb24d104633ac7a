import { expect, test } from "bun:test";
import { growth, medianSlope, type Sample } from "./growth.ts";
import { Random } from "./random.ts";

const SECOND = 1_000;

function series(seconds: number, bytesAt: (second: number) => number): Sample[] {
	return Array.from({ length: seconds + 1 }, (_, second) => ({
		atMs: 5_000 + second * SECOND,
		bytes: bytesAt(second),
	}));
}

test("a straight line's slope is found whatever a few samples say", () => {
	const samples = series(60, (second) => (second % 10 === 3 ? 9e9 : 1_000 * second));
	expect(medianSlope(samples)).toBeCloseTo(1, 1);
});

test("what grows is told, by how much over the judged time", () => {
	const found = growth(
		series(90, (second) => 1_000_000 + 2_000 * second),
		30 * SECOND,
	);
	expect(found).toEqual({ bytes: 120_000, bytesPerHour: 7_200_000, overMs: 60 * SECOND });
});

test("the warm-up of the first third does not count, nor does noise around a level", () => {
	const random = new Random(3);
	const samples = series(300, (second) => Math.min(second, 90) * 1e6 + random.below(4e6));
	expect(Math.abs(growth(samples, SECOND)?.bytes ?? 9e9)).toBeLessThan(1e6);
});

test("a life too short is not judged", () => {
	expect(
		growth(
			series(30, () => 1),
			60 * SECOND,
		),
	).toBeUndefined();
	expect(growth([], SECOND)).toBeUndefined();
});

test("thousands of samples are thinned, and say the same", () => {
	expect(
		growth(
			series(5_000, (second) => second),
			SECOND,
		)?.bytesPerHour,
	).toBeCloseTo(3_600, 6);
});
