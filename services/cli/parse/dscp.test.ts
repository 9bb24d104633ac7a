import { expect, test } from "bun:test";
import { parseDscp } from "./dscp.ts";

test("code points have the numbers that the RFCs give their names, in capitals or not", () => {
	const numbers = Object.entries({
		CS0: 0,
		CS1: 8,
		CS5: 40,
		CS7: 56,
		AF11: 10,
		AF13: 14,
		AF21: 18,
		af41: 34,
		AF43: 38,
		EF: 46,
		ef: 46,
		"voice-admit": 44,
		LE: 1,
		DF: 0,
	});
	for (const [name, number] of numbers) expect([name, parseDscp("dscp", name)]).toEqual([name, number]);
});

test("numbers stay numbers, and other words are refused with what there is", () => {
	expect(parseDscp("dscp", "46")).toBe(46);
	expect(() => parseDscp("dscp", "AF44")).toThrow(
		"dscp AF44: expected 0 to 63, or a name: EF, AF11 to AF43, CS0 to CS7",
	);
	expect(() => parseDscp("dscp", "0x2e")).toThrow(/0x2e: expected a whole number/);
	for (const text of ["CS8", "AF14", "AF51", "-1", "toString"])
		expect(() => parseDscp("dscp", text)).toThrow(/expected 0 to 63, or a name/);
});
