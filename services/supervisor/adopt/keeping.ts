import { errorText } from "@sluice/lib/errors";
import { done, forget, store } from "../fd-store.ts";
import type { Logger } from "../logger.ts";

/** Where descriptors go that the next supervisor is to have. */
export interface Keeping {
	/** Stays open here too. */
	keep(name: string, fds: readonly number[]): void;
	/** All of that name; closed there in its own time. */
	release(name: string): void;
	/** It is known that all that was released is closed there. */
	readonly isSettled: boolean;
	/** Asks until it is known: for ever, if nobody answers. */
	settled(): Promise<void>;
}

export const NOTHING_KEPT: Keeping = {
	keep: () => {},
	release: () => {},
	isSettled: true,
	settled: async () => {},
};

/** One who does not read has no room for the question. */
const ASK_AGAIN_MS = 1_000;

/**
 * With whoever started this process. What cannot be kept costs the next supervisor a new
 * start of what it belongs to, and this one nothing.
 */
export class KeptByKeeper implements Keeping {
	readonly #log: Logger;
	#failing = false;
	/** Names that are to be released, and could not be told. */
	readonly #untold = new Set<string>();
	#released = 0;
	/** So many of them are closed. */
	#closed = 0;
	#asking: Promise<void> | undefined;

	constructor(log: Logger) {
		this.#log = log;
	}

	keep(name: string, fds: readonly number[]): void {
		this.#attempt(() => {
			// What is released late would take this along.
			if (this.#untold.has(name)) this.#tell(name);
			store(name, fds);
		});
	}

	release(name: string): void {
		this.#untold.add(name);
		this.#attempt(() => this.#tell(name));
	}

	get isSettled(): boolean {
		return this.#closed === this.#released && this.#untold.size === 0;
	}

	settled(): Promise<void> {
		this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
		return this.#asking;
	}

	async #ask(): Promise<void> {
		while (!this.isSettled) {
			const released = this.#released;
			try {
				await done();
				this.#closed = released;
				// It reads again.
				for (const name of this.#untold) this.release(name);
			} catch (thrown) {
				this.#complain(thrown);
				await Bun.sleep(ASK_AGAIN_MS);
			}
		}
	}

	#tell(name: string): void {
		if (forget(name)) this.#released += 1;
		this.#untold.delete(name);
	}

	#attempt(step: () => void): void {
		try {
			step();
			this.#failing = false;
		} catch (thrown) {
			this.#complain(thrown);
		}
	}

	#complain(thrown: unknown): void {
		if (!this.#failing) this.#log.warn(`descriptors cannot be kept for a successor: ${errorText(thrown)}`);
		this.#failing = true;
	}
}
