import { expect, test } from "bun:test";
import { fitColumns, leastWidth, wrap } from "./fit.ts";

const shown = (widest: number[], least: number[], limit: number) =>
	fitColumns(widest, least, limit).map((part) =>
		part.map(({ index, width }) => `${index}:${width}`).join(" "),
	);

test("what fits stays as it is; else the widest column gives way first, down to its longest word", () => {
	expect(shown([10, 20, 30], [10, 5, 5], 64)).toEqual(["0:10 1:20 2:30"]);
	expect(shown([10, 20, 30], [10, 5, 5], 60)).toEqual(["0:10 1:20 2:26"]);
	expect(shown([10, 20, 30], [10, 5, 25], 50)).toEqual(["0:10 1:11 2:25"]);
});

test("what cannot be narrow enough goes into further tables, each led by the first column", () => {
	expect(shown([5, 20, 20, 20], [5, 10, 20, 20], 40)).toEqual(["0:5 1:11 2:20", "0:5 3:20"]);
	expect(shown([5, 50, 3], [5, 50, 3], 40)).toEqual(["0:5 1:50", "0:5 2:3"]);
});

test("cells break after blanks and commas, and nowhere else", () => {
	expect(wrap("r1:239.10.1.1:6001,ttl=16 +1", 19)).toEqual(["r1:239.10.1.1:6001,", "ttl=16 +1"]);
	expect(wrap("r0, r1 (down), r2", 9)).toEqual(["r0, r1", "(down),", "r2"]);
	expect(wrap("r1:239.10.1.1:6001", 5)).toEqual(["r1:239.10.1.1:6001"]);
	expect(leastWidth("ACTIVE on relay-a; \x1b[33mPENDING\x1b[39m")).toBe(8);
});
