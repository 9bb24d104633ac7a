/** First wait, longest wait, and how long a process must have run to be forgiven, in milliseconds. */
const FIRST_MS = 250;
const LONGEST_MS = 16_000;
const FORGIVEN_AFTER_MS = 10_000;

/** Waits before restarts of one process: doubled each time, from the start again once it has run well. */
export class Backoff {
	#nextMs = FIRST_MS;

	/** @param ranMs how long the process that ended had run. @returns how long to wait. */
	afterExit(ranMs: number): number {
		const waitMs = ranMs >= FORGIVEN_AFTER_MS ? FIRST_MS : this.#nextMs;
		this.#nextMs = Math.min(waitMs * 2, LONGEST_MS);
		return waitMs;
	}
}
