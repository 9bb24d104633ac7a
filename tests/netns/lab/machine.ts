import { readFileSync } from "node:fs";

const SAMPLE_EACH_MS = 50;

/** How many threads want a CPU, of the whole machine, while a test runs: whether others keep it busy. */
export class Demand {
	#sum = 0;
	#samples = 0;
	readonly #timer = setInterval(() => this.#sample(), SAMPLE_EACH_MS);

	/** Threads for each CPU, on average since the beginning. */
	end(): number {
		clearInterval(this.#timer);
		return this.#sum / Math.max(1, this.#samples) / navigator.hardwareConcurrency;
	}

	#sample(): void {
		// The fourth word: threads that run or could, and all; this one among them.
		const running = Number(readFileSync("/proc/loadavg", "utf8").split(" ")[3]?.split("/")[0]);
		this.#sum += running - 1;
		this.#samples += 1;
	}
}
