import { readFileSync } from "node:fs";

/** CPUs this process may run on: workers are pinned to these and no others. */
export function allowedCores(status = readFileSync("/proc/self/status", "utf8")): number[] {
	const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "0";
	return list.split(",").flatMap((range) => {
		const [first = "0", last = first] = range.split("-");
		const start = Number(first);
		return Array.from({ length: Number(last) - start + 1 }, (_, offset) => start + offset);
	});
}

/** The core of a worker slot; more workers than cores share. */
export function coreOf(slot: number, cores: readonly number[]): number {
	return cores[slot % cores.length] ?? 0;
}
