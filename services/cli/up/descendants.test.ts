import { expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { descendantsOf } from "./descendants.ts";

test("a thread that ended meanwhile hides no child of the others", async () => {
	const shell = Bun.spawn(["sh", "-c", "sleep 60 & wait"], { stdio: ["ignore", "ignore", "ignore"] });
	let found: number[] = [];
	const look = (threads: string[]) => descendantsOf(shell.pid, threads).map(({ pid }) => pid);
	try {
		await until(() => {
			found = look([String(shell.pid)]);
			return found.length === 1;
		});
		const ended = String(2 ** 22 + 1);
		expect(look([ended, String(shell.pid), ended])).toEqual(found);
		expect(descendantsOf(shell.pid).map(({ pid }) => pid)).toEqual(found);
	} finally {
		shell.kill();
		for (const pid of found) process.kill(pid);
		await shell.exited;
	}
	expect(descendantsOf(shell.pid)).toEqual([]);
});
