/** So many times as long as a look took passes before the next one. */
const REST = 4;

/**
 * Looks when asked, at once after a rest: what asks before it is over gets one look together. Many links may change
 * faster than all of them are read, and everything else that the process hears would wait behind a look for each change.
 */
export class Looks {
	readonly #look: () => void;
	#restedMs = 0;
	#timer: ReturnType<typeof setTimeout> | undefined;

	/** @param look does not ask, and does not throw. */
	constructor(look: () => void) {
		this.#look = look;
	}

	ask(): void {
		if (this.#timer !== undefined) return;
		const leftMs = this.#restedMs - performance.now();
		if (leftMs <= 0) this.#take();
		else this.#timer = setTimeout(() => this.#take(), leftMs);
	}

	stop(): void {
		clearTimeout(this.#timer);
	}

	#take(): void {
		this.#timer = undefined;
		const beganMs = performance.now();
		this.#look();
		const endedMs = performance.now();
		this.#restedMs = endedMs + REST * (endedMs - beganMs);
	}
}
