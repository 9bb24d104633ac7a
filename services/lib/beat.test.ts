import { expect, test } from "bun:test";
import { onBeat, untilBeatMs } from "./beat.ts";

test("all of a host call back at the same moments, whenever they began", () => {
	const at = 1_700_000_000_123;
	const next = at + untilBeatMs("relay-a", 1_000, at);
	for (const laterMs of [1, 200, 500, 900]) {
		const beat = at + laterMs + untilBeatMs("relay-a", 1_000, at + laterMs);
		expect((beat - next) % 1_000).toBe(0);
	}
	expect((at + untilBeatMs("relay-a", 5_000, at) - next) % 1_000).toBe(0);
});

test("hosts have moments of their own", () => {
	const moments = Array.from({ length: 100 }, (_, k) => untilBeatMs(`relay-${k}`, 1_000, 1_700_000_000_000));
	expect(new Set(moments.map((ms) => Math.floor(ms / 100) % 10)).size).toBe(10);
});

test("a timer that comes a moment early does not come twice", () => {
	const at = 1_700_000_000_000;
	const beat = at + untilBeatMs("relay-a", 1_000, at);
	expect(untilBeatMs("relay-a", 1_000, beat - 1)).toBe(1_001);
	expect(untilBeatMs("relay-a", 1_000, beat)).toBe(1_000);
});

test("calls back once each period until it is stopped", async () => {
	// From before its start: a call that comes late makes this only longer.
	const startMs = Date.now();
	let calls = 0;
	const called = Promise.withResolvers<void>();
	const stop = onBeat("relay-a", 50, () => {
		calls += 1;
		if (calls === 4) called.resolve();
	});
	await called.promise;
	stop();
	// Four beats are three periods apart; each may be a millisecond early.
	expect(Date.now() - startMs).toBeGreaterThanOrEqual(149);
});
