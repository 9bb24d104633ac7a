import { expect, test } from "bun:test";
import { COUNTER_NUMBERS } from "./counters.ts";
import { expectedLayout, layoutDifference } from "./layout.ts";
import { errorText, libraryLayout, supervisorSymbols } from "./library.ts";

const expected = expectedLayout(COUNTER_NUMBERS);

/** What a library of the same layout would say. */
function textOf(layout: Map<string, number>): string {
	return [...layout].map(([name, value]) => `${name}=${value}\n`).join("");
}

test("the library that was built has the layout of this binding", () => {
	expect(layoutDifference(libraryLayout(), expected)).toBeUndefined();
	// Loading compares too, and would have thrown.
	expect(supervisorSymbols()).toBeDefined();
});

test("a field that moved is refused by name", () => {
	const moved = new Map(expected).set("sluice_output_record.mtu", 32);
	expect(layoutDifference(textOf(moved), expected)).toBe(
		"sluice_output_record.mtu is 32 in the library, 28 here",
	);
});

test("a field that one side alone knows is refused by name", () => {
	const fewer = new Map(expected);
	fewer.delete("sluice_ring");
	expect(layoutDifference(textOf(fewer), expected)).toBe("sluice_ring is missing in the library, 24 here");
	const more = new Map(expected).set("sluice_ring.colour", 20);
	expect(layoutDifference(textOf(more), expected)).toBe(
		"sluice_ring.colour is 20 in the library, missing here",
	);
});

test("an errno has the C library's text", () => {
	expect(errorText(19)).toBe("No such device");
	expect(errorText(-19)).toBe("No such device");
	expect(errorText(99999)).toBe("unknown error");
});
