import { readFileSync } from "node:fs";

/** How many looks in a row a heart may stand still; while it does, a look comes each 25 ms. */
const MOST_STILL_LOOKS = 40;

/**
 * Tells from a worker's heartbeat that it hangs. Looks are counted, not time: when the
 * whole machine stood still, so did whoever looks.
 */
export class Pulse {
	#last: bigint | undefined;
	#stillLooks = 0;

	/** At the last look it had not beaten since the one before. */
	get isStill(): boolean {
		return this.#stillLooks > 0;
	}

	/**
	 * Why the worker counts as hung, if it does. The heart of one that idles beats each
	 * 100 ms, so a few looks without a beat mean nothing yet; a process that was stopped
	 * will not go on by itself, and its rings are filling.
	 */
	look(heartbeat: bigint, isStopped: () => boolean): string | undefined {
		if (heartbeat !== this.#last) {
			this.#last = heartbeat;
			this.#stillLooks = 0;
			return undefined;
		}
		this.#stillLooks += 1;
		if (isStopped()) return "it was stopped";
		return this.#stillLooks >= MOST_STILL_LOOKS ? "its packet thread stands still" : undefined;
	}
}

/** By a signal (SIGSTOP); a process that is gone is not. */
export function isStoppedProcess(pid: number): boolean {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		// The name in parentheses may hold anything.
		return stat.charAt(stat.lastIndexOf(")") + 2) === "T";
	} catch {
		return false;
	}
}
