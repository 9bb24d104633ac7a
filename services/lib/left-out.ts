const SAY_EVERY_MS = 10_000;
/** Of more the same may be said twice. */
const REMEMBERED_KEYS = 1_000;

/**
 * Says which values of a bucket are left out, and why: each once, and those that come within some seconds in one line, since
 * whoever may write them may write many, and all day.
 */
export class LeftOut {
	readonly #say: (message: string) => void;
	readonly #everyMs: number;
	/** By key, why. */
	readonly #known = new Map<string, string>();
	#first: string | undefined;
	#further = 0;
	#resting = false;

	constructor(say: (message: string) => void, everyMs = SAY_EVERY_MS) {
		this.#say = say;
		this.#everyMs = everyMs;
	}

	add(key: string, why: string): void {
		if (this.#known.get(key) === why) return;
		if (this.#known.size >= REMEMBERED_KEYS) this.#known.clear();
		this.#known.set(key, why);
		if (this.#first === undefined) this.#first = `${key} is unreadable and left out: ${why}`;
		else this.#further += 1;
		if (!this.#resting) this.#sayAll();
	}

	/** It can be read again. */
	remove(key: string): void {
		this.#known.delete(key);
	}

	#sayAll(): void {
		const further = this.#further === 0 ? "" : `; likewise ${this.#further} more`;
		this.#say(`${this.#first}${further}`);
		this.#first = undefined;
		this.#further = 0;
		this.#resting = true;
		const rested = () => {
			this.#resting = false;
			if (this.#first !== undefined) this.#sayAll();
		};
		setTimeout(rested, this.#everyMs).unref();
	}
}
