import { expect, test } from "bun:test";
import { proportionalBytes, proportionalBytesOf } from "./memory.ts";

test("shared pages count in part, by the line Pss alone", () => {
	const rollup =
		"55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  4321 kB\nPss_Dirty:  12 kB\n";
	expect(proportionalBytes(rollup)).toBe(4_321 * 1_024);
	expect(() => proportionalBytes("Rss: 1 kB\n")).toThrow("no Pss");
});

test("this process has some, and one that is not there none", () => {
	const own = proportionalBytesOf([process.pid]);
	expect(own).toBeGreaterThan(2 ** 20);
	expect(proportionalBytesOf([0x7fff_ffff])).toBe(0);
});
