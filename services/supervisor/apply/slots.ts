/**
 * Small numbers to give away; what came back is given first, once it stands nowhere any
 * more: `beforeReuse` is called before.
 */
export class Slots {
	readonly #free: number[] = [];
	readonly #returned: number[] = [];
	readonly #limit: number;
	readonly #beforeReuse: () => void;
	#next = 0;

	constructor(limit: number, beforeReuse: () => void = () => {}) {
		this.#limit = limit;
		this.#beforeReuse = beforeReuse;
	}

	/** These are in use already; before any is taken. */
	reserve(used: ReadonlySet<number>): void {
		this.#next = Math.max(-1, ...used) + 1;
		for (let slot = this.#next - 1; slot >= 0; slot -= 1) if (!used.has(slot)) this.#free.push(slot);
	}

	/** Undefined when all are taken. */
	take(): number | undefined {
		if (this.#free.length === 0 && this.#returned.length > 0) {
			this.#beforeReuse();
			this.#free.push(...this.#returned.splice(0));
		}
		const free = this.#free.pop();
		if (free !== undefined) return free;
		return this.#next < this.#limit ? this.#next++ : undefined;
	}

	give(slot: number): void {
		this.#returned.push(slot);
	}
}
