import { settlesWithin } from "@sluice/lib/settles-within";
import type { Logger } from "./logger.ts";
import { parentOf } from "./parent-of.ts";

/** Workers have two seconds; whoever stops us has patience for about five. */
const STOP_LIMIT_MS = 4_000;
/** Last words. While they wait for a NATS that does not answer, nobody relays. */
const FAREWELL_LIMIT_MS = 300;

export async function sayFarewell(words: Promise<void>): Promise<void> {
	await settlesWithin(words, FAREWELL_LIMIT_MS);
}

/** How this process is stopped: relaying ends first, then comes what is to be kept and said, as far as there is any yet. */
export class Ending {
	keepCounted: () => Promise<unknown> = async () => {};
	finish: () => Promise<unknown> = async () => {};
	readonly #stopRelaying: () => Promise<unknown>;
	readonly #fail: (reason: unknown) => never;
	readonly #log: Logger;
	readonly #keeper = process.ppid;
	readonly #starter = parentOf(process.ppid);
	#begun = false;
	#inOrder = false;

	constructor(stopRelaying: () => Promise<unknown>, fail: (reason: unknown) => never, log: Logger) {
		this.#stopRelaying = stopRelaying;
		this.#fail = fail;
		this.#log = log;
	}

	get begun(): boolean {
		return this.#begun;
	}

	/** Nothing runs any more because somebody wanted that, and the record that is written now says so. */
	get inOrder(): boolean {
		return this.#inOrder;
	}

	begin(reason: string): void {
		if (this.#begun) return;
		this.#begun = true;
		this.#log.info({ reason }, "stopping");
		const late = new Error(`not stopped after ${STOP_LIMIT_MS} ms`);
		setTimeout(() => this.#fail(late), STOP_LIMIT_MS).unref();
		void this.#end().then(() => process.exit(0), this.#fail);
	}

	async #end(): Promise<void> {
		await this.#stopRelaying();
		await this.keepCounted();
		// The keeper stops us as well when whoever started it has died.
		this.#inOrder = parentOf(this.#keeper) === this.#starter;
		await this.finish();
	}
}
