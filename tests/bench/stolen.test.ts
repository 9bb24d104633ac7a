import { expect, test } from "bun:test";
import { cpuTimes, stolenPercent } from "./stolen.ts";

const stat = (idle: number, steal: number) =>
	`cpu  100 0 50 ${idle} 0 0 10 ${steal} 40 0\ncpu0 50 0 25 100 0 0 5 0 20 0\n`;

test("what the hypervisor took is a share of all the CPUs' time, in which guests are counted once", () => {
	const before = cpuTimes(stat(800, 40));
	expect(before).toEqual({ allTicks: 1_000, stolenTicks: 40 });
	expect(stolenPercent(before, cpuTimes(stat(890, 50)))).toBe(10);
	expect(stolenPercent(before, before)).toBe(0);
});
