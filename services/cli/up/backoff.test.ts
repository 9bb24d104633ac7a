import { expect, test } from "bun:test";
import { Backoff } from "./backoff.ts";

test("waits double from 250 ms to 16 s, and start anew after ten good seconds", () => {
	const backoff = new Backoff();
	const waits = Array.from({ length: 9 }, () => backoff.afterExit(100));
	expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 16_000, 16_000]);
	expect(backoff.afterExit(9_999)).toBe(16_000);
	expect(backoff.afterExit(10_000)).toBe(250);
	expect(backoff.afterExit(0)).toBe(500);
});
