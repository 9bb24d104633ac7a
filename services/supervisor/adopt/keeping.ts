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
const ASK_AGAIN_MS = 100;

/**
 * With whoever started this process. What cannot be kept costs the next supervisor a new
 * start of what it belongs to, and this one nothing.
 */
export class KeptByKeeper implements Keeping {
	readonly #log: Logger;
	/** The last message could not be told: nothing is tried before an answer says that it reads again. */
	#isUnheard = false;
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
		this.#attempt(() => store(name, fds));
	}

	release(name: string): void {
		this.#untold.add(name);
		this.#attempt();
	}

	get isSettled(): boolean {
		return this.#closed === this.#released && this.#untold.size === 0;
	}

	settled(): Promise<void> {
		this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
		return this.#asking;
	}

	async #ask(): Promise<void> {
		while (this.#isUnheard || !this.isSettled) {
			const released = this.#released;
			try {
				await done();
				this.#closed = released;
				this.#isUnheard = false;
				this.#attempt();
			} catch (thrown) {
				this.#complain(thrown);
				await Bun.sleep(ASK_AGAIN_MS);
			}
		}
	}

	/** Each message to one who does not read would stop the loop for a second. */
	#attempt(step?: () => void): void {
		if (this.#isUnheard) return;
		try {
			// What is released late would take along what is kept under its name.
			for (const name of this.#untold) this.#tell(name);
			step?.();
		} catch (thrown) {
			this.#complain(thrown);
			void this.settled();
		}
	}

	#tell(name: string): void {
		if (forget(name)) this.#released += 1;
		this.#untold.delete(name);
	}

	#complain(thrown: unknown): void {
		if (!this.#isUnheard) this.#log.warn(`descriptors cannot be kept for a successor: ${errorText(thrown)}`);
		this.#isUnheard = true;
	}
}
