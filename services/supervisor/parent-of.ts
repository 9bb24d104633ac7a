import { readFileSync } from "node:fs";

/** The process whose child this one is now; undefined: there is no such process any more. */
export function parentOf(pid: number): number | undefined {
	try {
		const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
		return parent === undefined ? undefined : Number(parent);
	} catch {
		return undefined;
	}
}
