import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { runNs, spent, threadTimes } from "./schedstat.ts";

test("the first figure is the time on a CPU", () => {
	expect(runNs("123456789012 42 7\n")).toBe(123_456_789_012);
	for (const wrong of ["", "1 2", "a b c", "-1 2 3"]) expect(() => runNs(wrong)).toThrow("not a schedstat");
});

test("every thread of every process counts, and what is gone is left out", () => {
	const proc = mkdtempSync("/tmp/sluice-schedstat-");
	try {
		for (const [thread, ns] of [
			["10/task/10", 5],
			["10/task/11", 6],
			["20/task/20", 7],
		] as const) {
			mkdirSync(`${proc}/${thread}`, { recursive: true });
			writeFileSync(`${proc}/${thread}/schedstat`, `${ns} 0 1\n`);
		}
		mkdirSync(`${proc}/20/task/21`);
		const times = threadTimes([10, 20, 30], proc);
		expect(Object.fromEntries(times)).toEqual({ "10/10": 5, "10/11": 6, "20/20": 7 });
	} finally {
		rmSync(proc, { recursive: true });
	}
});

test("a thread that began counts from its beginning, one that ended is told", () => {
	const before = new Map([
		["1/1", 100],
		["1/2", 50],
	]);
	const after = new Map([
		["1/1", 130],
		["1/3", 4],
	]);
	expect(spent(before, after)).toEqual({ cpuNs: 34, threadsEnded: 1 });
});

test("this process has used some", () => {
	const before = threadTimes([process.pid]);
	while (spent(before, threadTimes([process.pid])).cpuNs === 0);
	expect(before.get(`${process.pid}/${process.pid}`)).toBeGreaterThan(0);
});
