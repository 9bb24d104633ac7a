import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "@sluice/lib/testing/until";
import { stopOf } from "./stopped.ts";

test("a process is stopped from SIGSTOP to SIGCONT, each time anew, and not when it is gone", async () => {
	const child = Bun.spawn(["sleep", "60"]);
	const stop = async () => {
		child.kill("SIGSTOP");
		await until(() => stopOf(child.pid) !== undefined);
		return stopOf(child.pid);
	};
	try {
		expect(stopOf(child.pid)).toBeUndefined();
		const first = await stop();
		expect(stopOf(child.pid)).toBe(first);
		child.kill("SIGCONT");
		// Asleep again: it has run meanwhile.
		await until(() => /^State:\s+S/m.test(readFileSync(`/proc/${child.pid}/status`, "utf8")));
		expect(await stop()).not.toBe(first);
	} finally {
		child.kill("SIGKILL");
	}
	await child.exited;
	expect(stopOf(child.pid)).toBeUndefined();
});
