import { readFileSync } from "node:fs";

/**
 * By a signal (SIGSTOP): how often the process had left its core by then, so that the same answer tells of the same
 * stop. Undefined: it is not stopped, or gone.
 */
export function stopOf(pid: number): number | undefined {
	try {
		const status = readFileSync(`/proc/${pid}/status`, "utf8");
		if (!/^State:\s+T/m.test(status)) return undefined;
		const switches = status.matchAll(/^\w*voluntary_ctxt_switches:\s+(\d+)/gm);
		return switches.reduce((sum, [, count]) => sum + Number(count), 0);
	} catch {
		return undefined;
	}
}
