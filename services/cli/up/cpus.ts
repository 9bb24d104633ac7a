import { readFileSync } from "node:fs";

/** How many CPUs this process may run on: the scheduler's affinity, which a container narrows. */
export function usableCpus(): number {
	const status = readFileSync("/proc/self/status", "utf8");
	return countCpuList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? "0");
}

/** Counts a list as the kernel writes it: "0-3,8". */
export function countCpuList(list: string): number {
	return list.split(",").reduce((count, range) => {
		const [first, last = first] = range.split("-").map(Number);
		return first === undefined || last === undefined ? count : count + last - first + 1;
	}, 0);
}
