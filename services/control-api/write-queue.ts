import { SluiceError } from "@sluice/lib/errors";

/** Runs one piece of work after the other; refuses more than it may keep waiting. */
export class WriteQueue {
	readonly #limit: number;
	#waiting = 0;
	#last: Promise<unknown> = Promise.resolve();

	constructor(limit: number) {
		this.#limit = limit;
	}

	run<Result>(work: () => Promise<Result>): Promise<Result> {
		if (this.#waiting >= this.#limit) {
			return Promise.reject(new SluiceError("unavailable", `${this.#limit} writes are waiting: try again`));
		}
		this.#waiting += 1;
		const result = this.#last.then(work).finally(() => {
			this.#waiting -= 1;
		});
		this.#last = result.catch(() => {});
		return result;
	}
}
