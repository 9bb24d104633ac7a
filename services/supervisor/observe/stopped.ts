import { readFileSync } from "node:fs";

/** By a signal (SIGSTOP); a process that is gone is not. */
export function isStopped(pid: number): boolean {
	try {
		return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
	} catch {
		return false;
	}
}
