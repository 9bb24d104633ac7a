import { expect, test } from "bun:test";
import { perStream } from "./load.ts";

test("streams share the rate, and send whole bursts", () => {
	const load = { ratePps: 100_000, sizeBytes: 1_400, burst: 32, seconds: 0.3 };
	expect(perStream(load, 1)).toEqual({ rate: 100_000, count: 938 * 32 });
	expect(perStream(load, 50)).toEqual({ rate: 2_000, count: 19 * 32 });
	expect(perStream(load, 1_000)).toEqual({ rate: 100, count: 32 });
	expect(perStream({ ...load, burst: 1 }, 1_000)).toEqual({ rate: 100, count: 30 });
});

test("however little is asked for, each stream sends something", () => {
	expect(perStream({ ratePps: 10, sizeBytes: 64, burst: 1, seconds: 0.01 }, 100)).toEqual({
		...{ rate: 1, count: 1 },
	});
});
