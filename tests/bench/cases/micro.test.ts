import { expect, test } from "bun:test";
import { readFigures } from "./micro.ts";

test("what the micro-benchmarks print is read line by line", () => {
	const text =
		"parse, 1400 bytes, checksum vouched for         5.6 ns/op (best 5.4)  [0000000000000000]\nlookup, 10,000 rules, any source               12.9 ns/op (best 1.7)  [0000000000000000]\n";
	expect([...readFigures(text)]).toEqual([
		["parse, 1400 bytes, checksum vouched for", 5.6],
		["lookup, 10,000 rules, any source", 12.9],
	]);
});
