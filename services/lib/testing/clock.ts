import { jest } from "bun:test";

/** With jest.useFakeTimers() the clock stands still but for this; a reaction that is due by then is over afterwards. */
export async function pass(ms: number): Promise<void> {
	jest.advanceTimersByTime(ms);
	// What is put off to the next turn of the event loop may be so from within the one that runs.
	for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
