/** What a hypervisor gave to others while this machine wanted to run: who is slow then is not the relay. */

import { readFileSync } from "node:fs";

/** Of all CPUs together since the machine began, in the kernel's ticks. */
export interface CpuTimes {
	readonly allTicks: number;
	readonly stolenTicks: number;
}

/** The sums of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice. */
export function cpuTimes(stat = readFileSync("/proc/stat", "utf8")): CpuTimes {
	const ticks = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? "").split(" ").slice(0, 8).map(Number);
	return { allTicks: ticks.reduce((sum, one) => sum + one, 0), stolenTicks: ticks[7] ?? 0 };
}

export function stolenPercent(before: CpuTimes, after: CpuTimes): number {
	const all = after.allTicks - before.allTicks;
	return all > 0 ? (100 * (after.stolenTicks - before.stolenTicks)) / all : 0;
}
