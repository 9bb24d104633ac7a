/** Those who wait for a change of anything, and then look themselves. */
export class Waiters {
	readonly #waiting = new Set<() => void>();

	/** Resolves at the next wake(), or after the time. */
	nextChange(timeoutMs: number): Promise<void> {
		return new Promise((resolve) => {
			const done = () => {
				clearTimeout(timer);
				this.#waiting.delete(done);
				resolve();
			};
			const timer = setTimeout(done, Math.max(1, timeoutMs));
			this.#waiting.add(done);
		});
	}

	/** Resolves when it holds, or at the time, by performance.now(). */
	async until(condition: () => boolean, deadline: number): Promise<void> {
		while (!condition()) {
			const left = deadline - performance.now();
			if (left <= 0) return;
			await this.nextChange(left);
		}
	}

	wake(): void {
		for (const done of [...this.#waiting]) done();
	}
}
