import { SluiceError } from "@sluice/lib/errors";

interface Waiting<Subject> {
	readonly subject: Subject | undefined;
	/** Never rejects: whoever waits for the result gets what was thrown. */
	start(): Promise<void>;
}

/**
 * Runs one piece of work after the other; refuses more than it may keep waiting. A long piece may
 * let others in between: those whose subject it has nothing to do with.
 */
export class WriteQueue<Subject = never> {
	readonly #limit: number;
	readonly #waiting: Waiting<Subject>[] = [];
	#busy = false;

	constructor(limit: number) {
		this.#limit = limit;
	}

	/** Work without a subject always waits for its turn. */
	run<Result>(work: () => Promise<Result>, subject?: Subject): Promise<Result> {
		if (this.#waiting.length >= this.#limit) {
			return Promise.reject(new SluiceError("unavailable", `${this.#limit} writes are waiting: try again`));
		}
		return new Promise<Result>((resolve, reject) => {
			const start = async () => await work().then(resolve, reject);
			this.#waiting.push({ subject, start });
			if (!this.#busy) void this.#runAll();
		});
	}

	/** For the work under way: whether one that waits fits. */
	hasWaiting(fits: (subject: Subject) => boolean): boolean {
		return this.#find(fits) >= 0;
	}

	/** For the work under way: runs the first waiting piece that fits; false when there is none. */
	async letPass(fits: (subject: Subject) => boolean): Promise<boolean> {
		const k = this.#find(fits);
		const [next] = k < 0 ? [] : this.#waiting.splice(k, 1);
		await next?.start();
		return next !== undefined;
	}

	#find(fits: (subject: Subject) => boolean): number {
		return this.#waiting.findIndex(({ subject }) => subject !== undefined && fits(subject));
	}

	async #runAll(): Promise<void> {
		this.#busy = true;
		for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
			await next.start();
		}
		this.#busy = false;
	}
}
