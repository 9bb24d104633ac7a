import { expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { isStopped } from "./stopped.ts";

test("a process is stopped from SIGSTOP to SIGCONT, and not when it is gone", async () => {
	const child = Bun.spawn(["sleep", "60"]);
	try {
		expect(isStopped(child.pid)).toBeFalse();
		child.kill("SIGSTOP");
		await until(() => isStopped(child.pid));
		child.kill("SIGCONT");
		await until(() => !isStopped(child.pid));
	} finally {
		child.kill("SIGKILL");
	}
	await child.exited;
	expect(isStopped(child.pid)).toBeFalse();
});
