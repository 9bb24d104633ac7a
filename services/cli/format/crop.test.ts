import { expect, test } from "bun:test";
import { createColors } from "picocolors";
import { crop } from "./crop.ts";

const lines = (count: number) => Array.from({ length: count }, (_, k) => `line ${k}\n`).join("");

test("what fits stays as it is", () => {
	expect(crop(lines(9), { columns: 80, rows: 10 })).toBe(lines(9));
});

test("what is taller ends with how much more there is, above the cursor's line", () => {
	expect(crop(lines(10), { columns: 80, rows: 10 })).toBe(
		`${lines(8)}… 2 more lines: make the terminal taller, or name a rule\n`,
	);
	expect(crop(lines(10), { columns: 20, rows: 2 })).toBe("… 10 more lines: mak\n");
});

test("what is wider ends at the edge; colours take no room and are closed", () => {
	const { bold } = createColors(true);
	expect(crop(`${bold("RULE")}  RECEIVED\n– – –\n`, { columns: 3, rows: 10 })).toBe(`${bold("RUL")}\n– –\n`);
});
