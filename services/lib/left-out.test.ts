import { expect, test } from "bun:test";
import { LeftOut } from "./left-out.ts";
import { until } from "./testing/until.ts";

test("of many values that are left out at once two lines speak, and of one that is left out again none", async () => {
	const lines: string[] = [];
	const leftOut = new LeftOut((line) => lines.push(line), 20);
	for (const key of ["a", "b", "c", "b"]) leftOut.add(key, "too large");
	await until(() => lines.length > 1);
	leftOut.add("a", "too large");
	leftOut.add("b", "too small");
	await until(() => lines.length > 2);
	expect(lines).toEqual([
		"a is unreadable and left out: too large",
		"b is unreadable and left out: too large; likewise 1 more",
		"b is unreadable and left out: too small",
	]);
});
