import { expect, test } from "bun:test";
import {
	formatBitRate,
	formatBytes,
	formatCount,
	formatCounted,
	formatDrops,
	formatDuration,
} from "./figures.ts";

test("counts are grouped, beyond what a double holds too", () => {
	expect(formatCount(0n)).toBe("0");
	expect(formatCount(4_999.6)).toBe("5,000");
	expect(formatCount(12_345_678_901_234_567_891n)).toBe("12,345,678,901,234,567,891");
});

test("one is no plural", () => {
	expect([0, 1, 1_234].map((count) => formatCounted(count, "rule"))).toEqual([
		"0 rules",
		"1 rule",
		"1,234 rules",
	]);
});

test("bit rates change their unit at a thousand", () => {
	expect(formatBitRate(0)).toBe("0 b/s");
	expect(formatBitRate(999)).toBe("999 b/s");
	expect(formatBitRate(1_000)).toBe("1.0 kb/s");
	expect(formatBitRate(56_000_000)).toBe("56.0 Mb/s");
	expect(formatBitRate(999_990_000)).toBe("1.0 Gb/s");
});

test("bytes change their unit at 1024", () => {
	expect(formatBytes(0n)).toBe("0 B");
	expect(formatBytes(33_554_432n)).toBe("32.0 MiB");
});

test("durations are whole and short", () => {
	expect([0.4, 59.9, 75, 7_300, 200_000].map(formatDuration)).toEqual(["0s", "59s", "1m", "2h", "2d"]);
});

test("drops are named, reasons without any left out", () => {
	expect(formatDrops({})).toBe("0");
	expect(formatDrops({ FRAGMENT: 3n, SHORT_FRAME: 0n, NOT_UDP: 1_000n })).toBe("3 FRAGMENT, 1,000 NOT_UDP");
});
