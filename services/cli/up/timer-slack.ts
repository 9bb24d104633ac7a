import { writeFileSync } from "node:fs";

/**
 * How much later than it asked for a process may be woken, with the threads that it is going to make; the kernel's own
 * is 50 µs. A wish: nothing depends on it.
 */
export function setTimerSlack(pid: number, slackNs: number): void {
	try {
		writeFileSync(`/proc/${pid}/timerslack_ns`, `${slackNs}`);
	} catch {
		// Another user's, without CAP_SYS_NICE; or it has ended.
	}
}
