import { expect, test } from "bun:test";
import { notesOf } from "./bun-file.ts";

test("figures and broken promises of time are notes, and nothing else that a test prints is", () => {
	const output = [
		"bun test v1",
		"measured: 20 ends, 2.1 to 8.2 ms",
		"  measured: no line of its own",
		"not held: 3 of 20 took longer than 20 ms",
		"soak: everything adds up",
		"(pass) measured: a name",
	].join("\n");
	expect(notesOf(output)).toEqual([
		"measured: 20 ends, 2.1 to 8.2 ms",
		"not held: 3 of 20 took longer than 20 ms",
		"soak: everything adds up",
	]);
});
