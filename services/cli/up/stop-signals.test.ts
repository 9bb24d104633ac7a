import { expect, test } from "bun:test";
import { settlesWithin } from "@sluice/lib/settles-within";
import { stopSignals } from "./stop-signals.ts";

test("one wish that comes as several signals, by the terminal and by sudo, is no hurry; a later one is", async () => {
	let nowMs = 0;
	using signals = stopSignals(() => nowMs);
	const interrupt = () => process.emit("SIGINT", "SIGINT");
	interrupt();
	nowMs = 100;
	interrupt();
	process.emit("SIGTERM", "SIGTERM");
	expect(signals.stopping).toBeTrue();
	expect(await settlesWithin(signals.hasten, 0)).toBeFalse();
	nowMs = 1_000;
	interrupt();
	expect(await settlesWithin(signals.hasten, 0)).toBeTrue();
});
