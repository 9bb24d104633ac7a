/** Small numbers to give away; what came back is given first. */
export class Slots {
	readonly #free: number[] = [];
	readonly #limit: number;
	#next = 0;

	constructor(limit: number) {
		this.#limit = limit;
	}

	/** Undefined when all are taken. */
	take(): number | undefined {
		const free = this.#free.pop();
		if (free !== undefined) return free;
		return this.#next < this.#limit ? this.#next++ : undefined;
	}

	give(slot: number): void {
		this.#free.push(slot);
	}
}
