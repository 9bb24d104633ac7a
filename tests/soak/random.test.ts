import { expect, test } from "bun:test";
import { Random } from "./random.ts";

function numbers(random: Random): number[] {
	return Array.from({ length: 1_000 }, () => random.next());
}

test("one seed gives the same numbers, another gives others", () => {
	expect(numbers(new Random(7))).toEqual(numbers(new Random(7)));
	expect(numbers(new Random(7))).not.toEqual(numbers(new Random(8)));
});

test("parts of one seed differ, and each is the same again", () => {
	expect(numbers(Random.ofPart(7, 1))).toEqual(numbers(Random.ofPart(7, 1)));
	expect(numbers(Random.ofPart(7, 1))).not.toEqual(numbers(Random.ofPart(7, 2)));
});

test("every choice comes up, about as often as the others", () => {
	const random = new Random(1);
	const counts = { a: 0, b: 0, c: 0 };
	for (let draw = 0; draw < 3_000; draw++) counts[random.pick<"a" | "b" | "c">(["a", "b", "c"])] += 1;
	for (const count of Object.values(counts)) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});
