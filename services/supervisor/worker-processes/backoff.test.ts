import { expect, test } from "bun:test";
import { Backoff, backoffDelay, RESTART_BACKOFF } from "./backoff.ts";

test("the delay doubles from 250 ms to 16 s and stays there", () => {
	const delays = Array.from({ length: 9 }, (_, index) => backoffDelay(index + 1, RESTART_BACKOFF));
	expect(delays).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 16_000, 16_000]);
	expect(backoffDelay(10_000, RESTART_BACKOFF)).toBe(16_000);
});

test("whoever ran for two seconds starts again at once, and then with the first delay", () => {
	const backoff = new Backoff(RESTART_BACKOFF);
	expect([backoff.next(100), backoff.next(1_999), backoff.next(100)]).toEqual([250, 500, 1000]);
	expect([backoff.next(2_000), backoff.next(100)]).toEqual([0, 250]);
});
